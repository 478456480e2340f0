//! `/activity/{id}`: one definition, its last seven days and its runs.

use axum::extract::{Query, State};
use axum::response::Response;
use chrono::{DateTime, NaiveDate, Utc};
use domain::{ActivityId, TimeZone};
use serde::{Deserialize, Serialize};
use store::{ActivityDay, DayRuns, DefinitionSummary, PageKey, Problem, Run};
use uuid::Uuid;

use super::PageError;
use super::link::{day_after, day_before};
use super::moment::Moment;
use super::overview::{self, Judged, Subject, Told};
use super::templates::{self, Frame};
use super::today::{READ_PROBLEMS, filled};
use super::trigger::Triggers;
use super::verdict::{Badge, outcome_badge};
use crate::access::Caller;
use crate::error::{Error, Refusal};
use crate::extract::ActivityIdPath;
use crate::routes::verify::parse_date;
use crate::state::ApiState;
use crate::{cursor, definitions};

/// Days that are shown.
const DAYS: usize = 7;

/// Runs per page.
const LISTED_RUNS: u16 = 25;

/// What to show.
#[derive(Debug, Deserialize)]
pub(super) struct DefinitionQuery {
    /// The last of the days.
    date: Option<String>,
    /// From where the runs are listed on.
    after: Option<String>,
}

#[derive(Serialize)]
struct DefinitionView {
    id: Uuid,
    name: String,
    /// What is declared; none of a definition that is deleted.
    declared: Option<Declared>,
    days: Vec<DayView>,
    previous: String,
    next: Option<String>,
    runs: Vec<RunView>,
    older: Option<String>,
    is_first_page: bool,
}

#[derive(Serialize)]
struct Declared {
    namespace: String,
    object: String,
    trigger: String,
    enabled: bool,
    next: Option<Moment>,
    answer: &'static str,
    sentence: String,
    badge: Badge,
    date: NaiveDate,
    is_today: bool,
}

#[derive(Serialize)]
struct DayView {
    date: NaiveDate,
    weekday: String,
    proven: String,
    badge: Badge,
    told: Vec<Told>,
    untold: usize,
}

/// A run in a list.
#[derive(Serialize)]
struct RunView {
    id: Uuid,
    time: Moment,
    trigger: &'static str,
    began: Option<Moment>,
    took: Option<String>,
    badge: Badge,
    reason: Option<String>,
}

/// The page.
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    id: Result<ActivityIdPath, Error>,
    query: Query<DefinitionQuery>,
) -> Result<Response, PageError> {
    let shown = async {
        let ActivityIdPath(id) = id?;
        show(&state, (&caller, id), &query).await
    };
    shown.await.map_err(PageError::at("../"))
}

async fn show(
    state: &ApiState,
    (caller, id): (&Caller, ActivityId),
    query: &DefinitionQuery,
) -> Result<Response, Error> {
    let date = filled(query.date.as_ref()).map(parse_date).transpose()?;
    let after = filled(query.after.as_ref())
        .map(cursor::decode)
        .transpose()
        .map_err(|invalid| {
            Refusal::new(axum::http::StatusCode::BAD_REQUEST, invalid.to_string())
        })?;
    let found = state.definitions.find(id).await?;
    state.authorize_history(caller, found.as_ref()).await?;
    let now = Utc::now();
    let summary = state.store.definition_summary(id).await?;
    let mut runs = state.store.runs(id, after, LISTED_RUNS + 1).await?;
    if summary.is_none() && found.is_none() && runs.is_empty() {
        return Err(definitions::gone().into());
    }
    let older = older(&mut runs);
    let zone = summary.as_ref().map_or(TimeZone::UTC, |summary| {
        Triggers::default().of(summary).time_zone()
    });
    let today = zone.date_at(now);
    let date = date.unwrap_or(today);
    let name = name_of((found.as_ref(), summary.as_ref()), &runs);
    let (declared, days) = match summary {
        Some(summary) => {
            let week = week(state, (&summary, date), now).await?;
            (Some(declared(&week, (date, today), now)), day_views(week))
        }
        None => (None, Vec::new()),
    };
    let view = DefinitionView {
        id: id.as_uuid(),
        name,
        declared,
        days,
        previous: format!("?date={}", day_before(date)),
        next: (date < today).then(|| format!("?date={}", day_after(date))),
        runs: runs
            .iter()
            .map(|run| run_view(run, (zone, today)))
            .collect(),
        older,
        is_first_page: after.is_none(),
    };
    let frame = Frame {
        template: "definition.html",
        title: &view.name.clone(),
        root: "../",
    };
    templates::show(frame, &view)
}

/// The link to the runs before these, if there are any; the surplus run is taken away.
fn older(runs: &mut Vec<Run>) -> Option<String> {
    let more = runs.len() > usize::from(LISTED_RUNS);
    runs.truncate(usize::from(LISTED_RUNS));
    let last = runs.last().filter(|_| more)?;
    let key = PageKey {
        sort_time: last.sort_time,
        run_id: last.run_id,
    };
    Some(format!("?after={}#runs", cursor::encode(key)))
}

fn name_of(
    (object, summary): (
        Option<&crds::ActivityDefinition>,
        Option<&DefinitionSummary>,
    ),
    runs: &[Run],
) -> String {
    object
        .map(crds::ActivityDefinition::display_name)
        .or_else(|| summary.map(|summary| summary.display_name.clone()))
        .or_else(|| runs.first().map(|run| run.activity_name.clone()))
        .unwrap_or_default()
}

/// A day, what was expected on it, and what went wrong.
struct Day {
    date: NaiveDate,
    judged: Judged,
    problems: Vec<Problem>,
}

/// The days up to `date`, the newest first.
async fn week(
    state: &ApiState,
    (summary, date): (&DefinitionSummary, NaiveDate),
    now: DateTime<Utc>,
) -> Result<Vec<Day>, Error> {
    let mut triggers = Triggers::default();
    let dates = std::iter::successors(Some(date), |date| Some(day_before(*date)));
    let subjects: Vec<(NaiveDate, Subject)> = dates
        .take(DAYS)
        .map(|date| (date, Subject::of(summary.clone(), date, &mut triggers)))
        .collect();
    let days: Vec<ActivityDay> = subjects.iter().map(|(_, subject)| subject.day).collect();
    let (runs, problems) = tokio::try_join!(
        state.store.runs_of_days(&days),
        state.store.problems_of_days(&days, READ_PROBLEMS),
    )?;
    let of = |day: &ActivityDay, runs: &[DayRuns]| {
        let runs = runs.iter().find(|runs| runs.from == day.from);
        runs.cloned()
    };
    let days = subjects.into_iter().map(|(date, subject)| {
        let runs = of(&subject.day, &runs);
        Day {
            date,
            judged: subject.judge(runs.as_ref(), now),
            problems: problems.clone(),
        }
    });
    Ok(days.collect())
}

fn declared(week: &[Day], (date, today): (NaiveDate, NaiveDate), now: DateTime<Utc>) -> Declared {
    let judged = week.first().map(|day| &day.judged);
    let tally = judged.map(|judged| judged.tally).unwrap_or_default();
    let subject = judged.map(|judged| &judged.subject);
    let summary = subject.map(|subject| &subject.summary);
    Declared {
        namespace: summary.map(|it| it.namespace.clone()).unwrap_or_default(),
        object: summary.map(|it| it.name.clone()).unwrap_or_default(),
        trigger: subject.map(|it| it.trigger.in_words()).unwrap_or_default(),
        enabled: summary.is_some_and(|summary| summary.enabled),
        next: subject.and_then(|subject| overview::next(subject, today, now)),
        answer: tally.answer(),
        sentence: tally.sentence(),
        badge: tally.badge(),
        date,
        is_today: date == today,
    }
}

fn day_views(week: Vec<Day>) -> Vec<DayView> {
    let views = week.into_iter().map(|day| {
        let (told, untold) = overview::told(&day.judged, &day.problems, day.date);
        DayView {
            date: day.date,
            weekday: day.date.format("%A").to_string(),
            proven: overview::proven(day.judged.tally),
            badge: day.judged.badge(),
            told,
            untold,
        }
    });
    views.collect()
}

fn run_view(run: &Run, (zone, today): (TimeZone, NaiveDate)) -> RunView {
    let took = run.fired_at.zip(run.completed_at);
    RunView {
        id: run.run_id.as_uuid(),
        time: Moment::on(zone, run.sort_time, today),
        trigger: kind(&run.trigger_key),
        began: run.fired_at.map(|fired| Moment::on(zone, fired, today)),
        took: took.map(|(from, to)| duration(to - from)),
        badge: outcome_badge(run.outcome),
        reason: run.error.clone(),
    }
}

/// What started a run, in a word.
pub(super) fn kind(trigger_key: &str) -> &'static str {
    match trigger_key.split('/').next() {
        Some("schedule") => "Schedule",
        Some("event") => "Event",
        Some("manual") => "Request",
        Some("backfill") => "Backfill",
        _ => "Other",
    }
}

/// A duration for people: `4 s`, `2 min 5 s`, `1 h 3 min`.
pub(super) fn duration(time: chrono::TimeDelta) -> String {
    let seconds = time.num_seconds().max(0);
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn durations_are_told_in_two_units_at_most() {
        for (seconds, expected) in [
            (-1, "0 s"),
            (59, "59 s"),
            (125, "2 min 5 s"),
            (3785, "1 h 3 min"),
            (90_000, "25 h 0 min"),
        ] {
            assert_eq!(duration(TimeDelta::seconds(seconds)), expected);
        }
    }

    #[test]
    fn every_kind_of_trigger_has_a_word() {
        assert_eq!(kind("schedule/2026-11-24T09:00:00Z"), "Schedule");
        assert_eq!(kind("manual/x"), "Request");
    }
}

//! `/`: did everything run today?

use axum::extract::{Query, State};
use axum::response::Response;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use domain::TimeZone;
use domain::verification::Seen;
use serde::{Deserialize, Serialize};
use store::ActivityDay;
use uuid::Uuid;

use super::PageError;
use super::link::{DayLinks, Selection};
use super::moment::Moment;
use super::overview::{self, Judged, Line, NextRun, PAGE_SIZE, Subject};
use super::templates::{self, Frame};
use super::trigger::Triggers;
use super::verdict::{Badge, Tally};
use crate::access::{Caller, Wish};
use crate::error::Error;
use crate::extract::namespace_name;
use crate::routes::verify::parse_date;
use crate::state::{ACTIVITY_DEFINITIONS, ApiState};

/// How many of the runs that go on are listed.
const LISTED_RUNNING: u16 = 8;

/// Rows that are read of one definition, to find the reasons of the times that are told.
pub(super) const READ_PROBLEMS: u16 = 20;

/// An audit that was at work so long ago is told of.
const SILENCE: TimeDelta = TimeDelta::minutes(10);

/// What to show. Forms send empty fields, which are the same as none.
#[derive(Debug, Default, Deserialize)]
pub(super) struct TodayQuery {
    date: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    page: Option<usize>,
}

/// A field of a form, unless it is empty.
pub(super) fn filled(field: Option<&String>) -> Option<&str> {
    field
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
}

impl TodayQuery {
    fn selection(&self, today: NaiveDate) -> Result<Selection, Error> {
        let date = filled(self.date.as_ref()).map(parse_date).transpose()?;
        let namespace = filled(self.namespace.as_ref())
            .map(namespace_name)
            .transpose()?;
        Ok(Selection {
            date: date.unwrap_or(today),
            is_dated: date.is_some_and(|date| date != today),
            namespace: namespace.map(str::to_owned),
            name: filled(self.name.as_ref()).map(str::to_owned),
            page: self.page.unwrap_or(1).max(1),
        })
    }
}

#[derive(Serialize)]
struct TodayView {
    date: NaiveDate,
    is_today: bool,
    time_zone: &'static str,
    answer: &'static str,
    sentence: String,
    badge: Badge,
    tally: Tally,
    days: DayLinks,
    namespace: String,
    name: String,
    lines: Vec<Line>,
    pages: Option<Pages>,
    next: Vec<NextRun>,
    running: Running,
    dead_letters: DeadLettersView,
    audit: Option<String>,
}

/// Where in the table a page is.
#[derive(Serialize)]
struct Pages {
    first: usize,
    last: usize,
    all: usize,
    previous: Option<String>,
    next: Option<String>,
}

#[derive(Serialize)]
struct Running {
    runs: Vec<RunningRun>,
    more: i64,
}

#[derive(Serialize)]
struct RunningRun {
    id: Uuid,
    name: String,
    since: Option<Moment>,
}

#[derive(Serialize)]
struct DeadLettersView {
    is_bad: bool,
    text: String,
}

/// The page.
pub(super) async fn get(
    State(state): State<ApiState>,
    caller: Caller,
    query: Query<TodayQuery>,
) -> Result<Response, PageError> {
    show(&state, &caller, &query)
        .await
        .map_err(PageError::at("./"))
}

async fn show(state: &ApiState, caller: &Caller, query: &TodayQuery) -> Result<Response, Error> {
    let now = Utc::now();
    let today = state.time_zone.date_at(now);
    let selection = query.selection(today)?;
    let namespace = state.definitions.listed(selection.namespace.as_deref())?;
    let wish = Wish {
        verb: "list",
        resource: ACTIVITY_DEFINITIONS,
        namespace,
        name: None,
    };
    state.access.authorize(caller, wish).await?;
    let (judged, running, dead_letters, audited) = tokio::join!(
        judge(state, (namespace, &selection), now),
        state.store.running_runs(namespace, LISTED_RUNNING),
        state.dead_letters.count(),
        state.store.last_audit(),
    );
    let judged = judged?;
    let tally = overview::tally(&judged);
    let is_today = selection.date == today;
    let (lines, pages) = lines(state, (&judged, &selection), now).await?;
    let sentence = tally.sentence();
    let view = TodayView {
        date: selection.date,
        is_today,
        time_zone: state.time_zone.name(),
        answer: tally.answer(),
        badge: tally.badge(),
        tally,
        days: selection.day_links(),
        namespace: selection.namespace.clone().unwrap_or_default(),
        name: selection.name.clone().unwrap_or_default(),
        lines,
        pages,
        next: overview::next_runs(&judged, selection.date),
        running: running_view(running?, (state.time_zone, today)),
        dead_letters: dead_letters_view(dead_letters),
        audit: audit_notice(audited?, now, state.time_zone),
        sentence,
    };
    let title = format!("{} · {}", view.answer, view.date);
    let frame = Frame {
        template: "today.html",
        title: &title,
        root: "./",
    };
    templates::show(frame, &view)
}

/// All definitions of the selection, judged.
async fn judge(
    state: &ApiState,
    (namespace, selection): (Option<&str>, &Selection),
    now: DateTime<Utc>,
) -> Result<Vec<Judged>, Error> {
    let mut summaries = state.store.definition_summaries(namespace).await?;
    if let Some(wanted) = &selection.name {
        let wanted = wanted.to_lowercase();
        summaries.retain(|summary| {
            summary.name.contains(&wanted) || summary.display_name.to_lowercase().contains(&wanted)
        });
    }
    let mut triggers = Triggers::default();
    let subjects: Vec<Subject> = summaries
        .into_iter()
        .map(|summary| Subject::of(summary, selection.date, &mut triggers))
        .collect();
    let days: Vec<ActivityDay> = subjects.iter().map(|subject| subject.day).collect();
    let runs = state.store.runs_of_days(&days).await?;
    Ok(overview::judge_all(subjects, &runs, now))
}

/// The lines of the page of the table that was asked for.
async fn lines(
    state: &ApiState,
    (judged, selection): (&[Judged], &Selection),
    now: DateTime<Utc>,
) -> Result<(Vec<Line>, Option<Pages>), Error> {
    let last_page = judged.len().div_ceil(PAGE_SIZE).max(1);
    let page = selection.page.min(last_page);
    let first = (page - 1) * PAGE_SIZE;
    let shown: Vec<&Judged> = judged.iter().skip(first).take(PAGE_SIZE).collect();
    let days: Vec<ActivityDay> = shown.iter().map(|one| one.subject.day).collect();
    let problems = state.store.problems_of_days(&days, READ_PROBLEMS).await?;
    let shown = judged.get(first..first + shown.len()).unwrap_or_default();
    let lines = overview::lines(shown, &problems, (selection.date, now));
    let pages = (last_page > 1).then(|| Pages {
        first: first + 1,
        last: first + lines.len(),
        all: judged.len(),
        previous: (page > 1).then(|| selection.turned_to(page - 1).query()),
        next: (page < last_page).then(|| selection.turned_to(page + 1).query()),
    });
    Ok((lines, pages))
}

fn running_view(
    (runs, count): (Vec<store::Run>, i64),
    (zone, today): (TimeZone, NaiveDate),
) -> Running {
    let more = count - i64::try_from(runs.len()).unwrap_or(count);
    let runs = runs.into_iter().map(|run| RunningRun {
        id: run.run_id.as_uuid(),
        since: run.fired_at.map(|fired| Moment::on(zone, fired, today)),
        name: run.activity_name,
    });
    Running {
        runs: runs.collect(),
        more,
    }
}

fn dead_letters_view(count: Seen<Option<u64>>) -> DeadLettersView {
    let (is_bad, text) = match count {
        Ok(None) => (false, "Not configured (NATS_URL is not set).".to_owned()),
        Ok(Some(0)) => (false, "None.".to_owned()),
        Ok(Some(1)) => (true, "1 event could not be handled.".to_owned()),
        Ok(Some(count)) => (true, format!("{count} events could not be handled.")),
        Err(reason) => (true, format!("Unknown: {reason}.")),
    };
    DeadLettersView { is_bad, text }
}

/// What to say of an audit that has not been at work lately.
fn audit_notice(
    audited: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    zone: TimeZone,
) -> Option<String> {
    match audited {
        Some(last) if now - last <= SILENCE => None,
        Some(last) => Some(format!(
            "The audit was last at work at {}. Runs that are missing since then show as \
             \u{201c}No trace\u{201d}; is actcore-operator running?",
            zone.shown(last)
        )),
        None => Some(
            "The audit has not been at work yet. Runs that are missing show as \
             \u{201c}No trace\u{201d}; is actcore-operator running?"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_of_a_form_are_none() {
        let today = "2026-11-24".parse().unwrap();
        let query = TodayQuery {
            date: Some(String::new()),
            namespace: Some(" ".into()),
            name: Some(" triage ".into()),
            page: Some(0),
        };
        let selection = query.selection(today).unwrap();
        assert_eq!(selection.date, today);
        assert!(!selection.is_dated);
        assert_eq!(selection.namespace, None);
        assert_eq!(selection.name.as_deref(), Some("triage"));
        assert_eq!(selection.page, 1);
    }

    #[test]
    fn dead_letters_that_can_not_be_counted_are_no_good_news() {
        assert!(!dead_letters_view(Ok(None)).is_bad);
        assert!(!dead_letters_view(Ok(Some(0))).is_bad);
        assert!(dead_letters_view(Ok(Some(3))).is_bad);
        assert!(dead_letters_view(Err("no answer".into())).is_bad);
    }

    #[test]
    fn a_silent_audit_is_told_of() {
        let now: DateTime<Utc> = "2026-11-24T09:00:00Z".parse().unwrap();
        let notice = |minutes| {
            let last = now - TimeDelta::minutes(minutes);
            audit_notice(Some(last), now, TimeZone::UTC)
        };
        assert_eq!(notice(1), None);
        assert!(notice(11).unwrap().contains("08:49"));
        assert!(audit_notice(None, now, TimeZone::UTC).is_some());
    }
}

//! Our expected times are the yardstick, so they are held against Temporal's own: random schedules
//! over nine years, in zones with every kind of clock change.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Datelike as _, NaiveDate, TimeDelta, Utc};
use contracts::names;
use domain::{
    ActivityId, CatchUp, CronExpression, CronSchedule, CronTrigger, OverlapPolicy, TimeZone,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use temporal::{Pause, PauseOwner, ScheduleAction, ScheduleSpec};
use temporalio_client::NamespacedClient as _;
use temporalio_client::grpc::WorkflowService;
use temporalio_client::tonic::IntoRequest as _;
use temporalio_common::protos::temporal::api::workflowservice::v1::ListScheduleMatchingTimesRequest;
use uuid::Uuid;

use crate::place::Place;

const SCHEDULES: usize = 100;
const RANGES_EACH: usize = 22;

/// Fewer than the thousand at which Temporal cuts an answer short.
const MOST_TIMES: usize = 900;

/// How many schedules are compared at once.
const AT_ONCE: usize = 8;

/// Always the same, so that a difference can be looked at again.
const SEED: u64 = 0x5EED_0F71;

/// Clocks that change by an hour, by half an hour, at midnight, twice a year, for Ramadan, by a
/// political decision, or never.
const ZONES: [&str; 39] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "Europe/Dublin",
    "Europe/Lisbon",
    "Europe/Istanbul",
    "Europe/Chisinau",
    "Atlantic/Azores",
    "America/New_York",
    "America/Chicago",
    "America/Denver",
    "America/Phoenix",
    "America/Los_Angeles",
    "America/St_Johns",
    "America/Halifax",
    "America/Havana",
    "America/Nuuk",
    "America/Santiago",
    "America/Sao_Paulo",
    "America/Mexico_City",
    "Pacific/Easter",
    "Pacific/Auckland",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Pacific/Norfolk",
    "Pacific/Kiritimati",
    "Australia/Lord_Howe",
    "Australia/Adelaide",
    "Australia/Sydney",
    "Australia/Eucla",
    "Antarctica/Troll",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Asia/Beirut",
    "Asia/Jerusalem",
    "Asia/Tehran",
];

/// Splitmix64: enough to draw cases with, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        let at = self.next() % choices.len() as u64;
        choices[usize::try_from(at).unwrap_or_default()]
    }
}

/// One field of an expression: a number, a list, a range, or steps of either.
fn field(random: &mut Random, low: u64, high: u64) -> String {
    let one = random.between(low, high);
    let other = random.between(low, high);
    let (first, last) = (one.min(other), one.max(other));
    match random.next() % 6 {
        0 => format!("*/{}", random.between(1, (high - low).max(2) / 2)),
        1 => format!("{first}-{last}"),
        2 => format!("{first}-{last}/{}", random.between(1, 5)),
        3 => format!("{first},{last}"),
        4 => format!("{first},{last}-{high}"),
        _ => one.to_string(),
    }
}

fn day_of_month(random: &mut Random) -> String {
    match random.next() % 5 {
        0 => field(random, 1, 31),
        1 => random
            .one_of(&["29", "30", "31", "28-31", "*/10"])
            .to_owned(),
        _ => "*".to_owned(),
    }
}

fn month(random: &mut Random) -> String {
    match random.next() % 6 {
        0 => field(random, 1, 12),
        1 => random
            .one_of(&["JAN", "feb", "MAR,OCT", "mar-nov", "2"])
            .to_owned(),
        _ => "*".to_owned(),
    }
}

fn day_of_week(random: &mut Random) -> String {
    match random.next() % 4 {
        0 => field(random, 0, 6),
        1 => random
            .one_of(&["SUN", "mon-fri", "1-5", "0", "7", "SAT,SUN"])
            .to_owned(),
        _ => "*".to_owned(),
    }
}

fn expression(random: &mut Random) -> String {
    if random.next().is_multiple_of(20) {
        let nicknames = [
            "@hourly",
            "@daily",
            "@midnight",
            "@weekly",
            "@monthly",
            "@yearly",
        ];
        return random.one_of(&nicknames).to_owned();
    }
    // Half of them around the hours in which clocks change.
    let hour = if random.next().is_multiple_of(2) {
        random
            .one_of(&["0-3", "2", "1,2", "23,0", "0", "*", "1-3", "*/2"])
            .to_owned()
    } else {
        field(random, 0, 23)
    };
    let minute = match random.next() % 3 {
        0 => random
            .one_of(&["0", "30", "*/15", "0,30", "59", "15-45/15"])
            .to_owned(),
        _ => field(random, 0, 59),
    };
    let days = [day_of_month(random), month(random), day_of_week(random)].join(" ");
    let five = format!("{minute} {hour} {days}");
    match random.next() % 10 {
        0 => format!("{five} {}", random.between(2025, 2031)),
        1 => format!("{five} 2024-2030/2"),
        2 => format!("{} {five} *", field(random, 0, 59)),
        _ => five,
    }
}

/// An expression that fires at all, in a zone, at times within bounds.
fn schedule(random: &mut Random) -> CronSchedule {
    let expression = loop {
        if let Ok(expression) = CronExpression::parse(&expression(random)) {
            break expression;
        }
    };
    let bound = |random: &mut Random| {
        let seconds = random.between(1_704_067_200, 1_988_150_400);
        DateTime::from_timestamp(i64::try_from(seconds).unwrap_or_default(), 0)
    };
    let (start, end) = match random.next() % 8 {
        0 => (bound(random), None),
        1 => (None, bound(random)),
        _ => (None, None),
    };
    CronSchedule {
        expression,
        time_zone: TimeZone::parse(random.one_of(&ZONES)).unwrap(),
        start,
        end,
    }
}

/// The days of these years that are not 24 hours long in a zone, and the leap days.
fn odd_days(zone: TimeZone) -> Vec<NaiveDate> {
    let first = NaiveDate::from_ymd_opt(2024, 1, 1).unwrap();
    let days = first.iter_days().take_while(|day| day.year() < 2033);
    days.filter(|day| {
        let range = zone.day(*day);
        range.end - range.start != TimeDelta::hours(24) || (day.month(), day.day()) == (2, 29)
    })
    .collect()
}

/// Ranges that tile the nine years, and ranges around the odd days. They end on half a second, so
/// that whether an end belongs to a range is no question.
fn ranges(random: &mut Random, zone: TimeZone) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let half = TimeDelta::milliseconds(500);
    let start: DateTime<Utc> = "2024-01-01T00:00:00Z".parse().unwrap();
    let tile = TimeDelta::days(411);
    let mut ranges: Vec<_> = (0..8)
        .map(|number| {
            let from = start + tile * number - half;
            (from, from + tile)
        })
        .collect();
    let odd = odd_days(zone);
    while ranges.len() < RANGES_EACH {
        let middle = zone.day(random.one_of(&odd)).start;
        let from = middle - TimeDelta::hours(36) - half;
        ranges.push((from, from + TimeDelta::hours(96)));
    }
    ranges
}

async fn matching(
    place: &Place,
    activity: ActivityId,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<DateTime<Utc>>> {
    let mut client = place.temporal.client().clone();
    let request = ListScheduleMatchingTimesRequest {
        namespace: client.namespace(),
        schedule_id: names::schedule_id(activity),
        start_time: Some(std::time::SystemTime::from(from).into()),
        end_time: Some(std::time::SystemTime::from(until).into()),
    };
    let answer = client
        .list_schedule_matching_times(request.into_request())
        .await?;
    let times = answer.into_inner().start_time.into_iter();
    times
        .map(|time| {
            DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos)?)
                .context("no such time")
        })
        .collect()
}

/// What was compared.
#[derive(Debug, Default)]
struct Compared {
    cases: usize,
    times: usize,
    differences: Vec<String>,
}

/// Compares one schedule in all ranges.
async fn compare(
    place: &Place,
    schedule: CronSchedule,
    ranges: Vec<(DateTime<Utc>, DateTime<Utc>)>,
) -> Result<Compared> {
    let activity = ActivityId::new(Uuid::new_v4());
    let spec = ScheduleSpec {
        object_uid: activity.as_uuid(),
        action: ScheduleAction {
            activity,
            activity_name: "compared".to_owned(),
        },
        trigger: CronTrigger {
            schedule: schedule.clone(),
            catch_up: CatchUp::Skip,
            overlap: OverlapPolicy::Skip,
            jitter: std::time::Duration::ZERO,
        },
        pause: Pause::Because {
            owner: PauseOwner::Disabled,
            reason: "only its times are asked for".to_owned(),
        },
    };
    let shown = format!(
        "\"{}\" in {}",
        schedule.expression,
        schedule.time_zone.name()
    );
    place
        .temporal
        .create_schedule(&spec)
        .await
        .with_context(|| shown.clone())?;
    let mut compared = Compared::default();
    for (from, mut until) in ranges {
        let mut ours = schedule.first_occurrences(from..until, MOST_TIMES + 1);
        if let Some(cut) = ours.get(MOST_TIMES) {
            until = *cut - TimeDelta::milliseconds(500);
            ours.truncate(MOST_TIMES);
        }
        let theirs = matching(place, activity, (from, until)).await?;
        if ours != theirs {
            let (mine, its): (BTreeSet<_>, BTreeSet<_>) =
                (ours.iter().collect(), theirs.iter().collect());
            compared.differences.push(format!(
                "{shown} ({:?} to {:?}), {from} to {until}: only ours {:?}, only Temporal's {:?}",
                schedule.start,
                schedule.end,
                mine.difference(&its).take(5).collect::<Vec<_>>(),
                its.difference(&mine).take(5).collect::<Vec<_>>(),
            ));
        }
        compared.cases += 1;
        compared.times += ours.len();
    }
    place.temporal.delete_schedule(activity).await?;
    Ok(compared)
}

#[tokio::test]
async fn expected_times_are_those_that_temporal_itself_would_fire_at() -> Result<()> {
    let place = Place::new("expected times").await?;
    place.temporal.ensure_search_attributes().await?;
    let mut random = Random(SEED);
    let drawn: Vec<_> = (0..SCHEDULES)
        .map(|_| {
            let schedule = schedule(&mut random);
            let ranges = ranges(&mut random, schedule.time_zone);
            (schedule, ranges)
        })
        .collect();
    let comparing = drawn
        .into_iter()
        .map(|(schedule, ranges)| compare(&place, schedule, ranges));
    let compared: Vec<Compared> = stream::iter(comparing)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let differences: Vec<&String> = compared.iter().flat_map(|one| &one.differences).collect();
    assert!(differences.is_empty(), "{differences:#?}");
    let cases: usize = compared.iter().map(|one| one.cases).sum();
    let times: usize = compared.iter().map(|one| one.times).sum();
    assert!(cases >= 2_000, "only {cases} cases");
    assert!(times >= 100_000, "only {times} times in {cases} cases");
    Ok(())
}

//! A definition's trigger, as far as the page needs it: when the clock names times, and words for
//! it. Pure. Many definitions share an expression, so the times of a day are computed once for each.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use crds::{CronTriggerSpec, VerificationSpec};
use domain::{CronExpression, CronSchedule, InvalidSchedule, TimeZone};
use store::DefinitionSummary;

/// What starts a definition's runs.
#[derive(Debug, Clone)]
pub(super) enum Trigger {
    /// The clock.
    Clock(Arc<Clock>),
    /// Events of a type.
    Events(String),
    /// Requests.
    Requests,
    /// It can't be read, for this reason.
    Unreadable(String),
}

/// A schedule that definitions share.
#[derive(Debug)]
pub(super) struct Clock {
    number: usize,
    /// When it names times.
    pub(super) schedule: CronSchedule,
}

/// What makes two schedules the same.
type Key = (String, String, Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// Schedules and their times of a day, each made once.
#[derive(Debug, Default)]
pub(super) struct Triggers {
    clocks: HashMap<Key, Result<Arc<Clock>, String>>,
    times: HashMap<(usize, NaiveDate), Arc<[DateTime<Utc>]>>,
}

impl Triggers {
    /// The trigger of a definition.
    pub(super) fn of(&mut self, summary: &DefinitionSummary) -> Trigger {
        let Some(cron) = &summary.cron else {
            return match &summary.event_type {
                Some(event_type) => Trigger::Events(event_type.clone()),
                None => Trigger::Requests,
            };
        };
        let spec: CronTriggerSpec = match serde_json::from_value(cron.clone()) {
            Ok(spec) => spec,
            Err(error) => return Trigger::Unreadable(error.to_string()),
        };
        let key = (
            spec.expression.clone(),
            spec.timezone.clone(),
            spec.start_time,
            spec.end_time,
        );
        let number = self.clocks.len();
        let clock = self.clocks.entry(key).or_insert_with(|| {
            let schedule = schedule(&spec).map_err(|invalid| invalid.to_string())?;
            Ok(Arc::new(Clock { number, schedule }))
        });
        match clock {
            Ok(clock) => Trigger::Clock(Arc::clone(clock)),
            Err(problem) => Trigger::Unreadable(problem.clone()),
        }
    }

    /// The times that a clock names on a day of its time zone.
    pub(super) fn times(&mut self, clock: &Clock, date: NaiveDate) -> Arc<[DateTime<Utc>]> {
        let times = self.times.entry((clock.number, date)).or_insert_with(|| {
            let day = clock.schedule.time_zone.day(date);
            clock.schedule.occurrences(day.start, day.end).into()
        });
        Arc::clone(times)
    }
}

fn schedule(spec: &CronTriggerSpec) -> Result<CronSchedule, InvalidSchedule> {
    Ok(CronSchedule {
        expression: CronExpression::parse(&spec.expression)?,
        time_zone: TimeZone::parse(&spec.timezone)?,
        start: spec.start_time,
        end: spec.end_time,
    })
}

/// How long after its time a run of a definition may begin.
pub(super) fn grace(summary: &DefinitionSummary) -> TimeDelta {
    let declared = summary.verification.clone();
    let spec: VerificationSpec = declared
        .and_then(|value| serde_json::from_value(value).ok())
        .unwrap_or_default();
    TimeDelta::try_seconds(spec.grace_seconds.max(0)).unwrap_or(TimeDelta::MAX)
}

impl Trigger {
    /// In words.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Clock(clock) => format!(
                "{} ({})",
                clock.schedule.expression.source(),
                clock.schedule.time_zone.name()
            ),
            Self::Events(event_type) => format!("on events {event_type}"),
            Self::Requests => "on request".to_owned(),
            Self::Unreadable(_) => "unreadable".to_owned(),
        }
    }

    /// The time zone in which its days are counted.
    pub(super) fn time_zone(&self) -> TimeZone {
        match self {
            Self::Clock(clock) => clock.schedule.time_zone,
            Self::Events(_) | Self::Requests | Self::Unreadable(_) => TimeZone::UTC,
        }
    }
}

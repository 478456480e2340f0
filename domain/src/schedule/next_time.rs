//! The next time at which a wall clock shows what an expression says, as Temporal's server finds it:
//! the walk of `compiledCalendar.next` in its `service/worker/scheduler/calendar.go` (1.32), step
//! by step.
//!
//! Away from clock changes any walk finds the same. Where a clock is set back or forward the
//! server has ways of its own: of a repeated hour it may take one copy or both, and a time that is
//! left out can count as the hour after. What is expected must be what it does, or a run would
//! count as missing that was never going to be.

use chrono::{
    DateTime, Datelike as _, Duration, NaiveDate, NaiveDateTime, Offset as _, TimeZone as _,
    Timelike as _, Utc,
};
use croner::{Cron, Weekday};

use super::TimeZone;

/// The last year that Temporal's calendars know.
const LAST_YEAR: i32 = 2100;

const HOUR: Duration = Duration::hours(1);

/// Where the walk is on the wall clock. A field may be one too large until it is carried.
#[derive(Debug, Clone, Copy)]
struct Wall {
    year: i32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
}

/// The first time after `after`; `None` when there is none up to the year 2100.
pub(super) fn next_time(
    cron: &Cron,
    zone: TimeZone,
    after: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let start = zone.wall_clock(after);
    let mut walk = Walk {
        cron,
        zone,
        wall: Wall {
            year: start.year(),
            month: start.month(),
            day: start.day(),
            hour: start.hour(),
            minute: start.minute(),
            second: start.second() + 1,
        },
        is_second_copy: zone.wall_clock(after - HOUR).hour() == start.hour(),
    };
    loop {
        walk.carry();
        if walk.wall.year > LAST_YEAR {
            return None;
        }
        if !walk.match_date() || !walk.match_time() {
            continue;
        }
        let time = zone.instant(walk.wall.naive()?);
        if zone.wall_clock(time).hour() == walk.wall.hour {
            return Some(if walk.is_second_copy {
                time + HOUR
            } else {
                time
            });
        }
        // The clock never shows this: it is set forward over it.
        walk.wall = Wall {
            hour: walk.wall.hour + 1,
            minute: 0,
            second: 0,
            ..walk.wall
        };
    }
}

struct Walk<'cron> {
    cron: &'cron Cron,
    zone: TimeZone,
    wall: Wall,
    /// Whether the hour is one that is repeated, for the second time.
    is_second_copy: bool,
}

impl Walk<'_> {
    /// Carries seconds over to minutes, and so on.
    fn carry(&mut self) {
        if self.wall.second >= 60 {
            self.wall.second = 0;
            self.wall.minute += 1;
        }
        if self.wall.minute >= 60 {
            self.wall.minute = 0;
            self.carry_minutes();
        }
        if self.wall.hour >= 24 {
            self.wall.hour = 0;
            self.wall.day += 1;
        }
        if self.wall.day > days_in_month(self.wall.year, self.wall.month) {
            self.wall.day = 1;
            self.wall.month += 1;
        }
        if self.wall.month > 12 {
            self.wall.month = 1;
            self.wall.year += 1;
        }
    }

    /// To the next hour; to the same once more when the clock shows it twice.
    fn carry_minutes(&mut self) {
        let full_hour = |hour| {
            let wall = Wall {
                hour,
                minute: 0,
                ..self.wall
            };
            wall.naive().map(|wall| self.zone.instant(wall))
        };
        let hours = full_hour(self.wall.hour).zip(full_hour(self.wall.hour + 1));
        let is_repeated = hours.is_some_and(|(this, next)| next - this > HOUR);
        if !self.is_second_copy && is_repeated {
            self.is_second_copy = true;
        } else {
            self.wall.hour += 1;
            self.is_second_copy = false;
        }
    }

    /// Goes on to a date that fits; false when something has to be carried first.
    fn match_date(&mut self) -> bool {
        if !self
            .cron
            .pattern
            .year_match(self.wall.year)
            .unwrap_or(false)
        {
            self.wall.year += 1;
            self.enter_month(1);
            return false;
        }
        while !self
            .cron
            .pattern
            .month_match(self.wall.month)
            .unwrap_or(false)
        {
            self.enter_month(self.wall.month + 1);
            if self.wall.month > 12 {
                return false;
            }
        }
        while !self.day_fits() {
            self.wall.day += 1;
            self.enter_hour(0);
            if self.wall.day > days_in_month(self.wall.year, self.wall.month) {
                return false;
            }
        }
        true
    }

    fn day_fits(&self) -> bool {
        let Wall {
            year, month, day, ..
        } = self.wall;
        // The weekday of the instant: of a time that is left out it is that of the hour before.
        let shown = self.wall.naive().map(|wall| self.zone.instant(wall));
        let weekday = shown.map(|time| self.zone.wall_clock(time).weekday());
        weekday.is_some_and(|weekday| {
            let weekday = Weekday::from_days_from_sunday(weekday.num_days_from_sunday());
            self.cron
                .pattern
                .day_match(year, month, day, weekday)
                .unwrap_or(false)
        })
    }

    /// Goes on to a time of day that fits; false when something has to be carried first.
    fn match_time(&mut self) -> bool {
        while !self
            .cron
            .pattern
            .hour_match(self.wall.hour)
            .unwrap_or(false)
        {
            self.enter_hour(self.wall.hour + 1);
            if self.wall.hour >= 24 {
                return false;
            }
        }
        while !self
            .cron
            .pattern
            .minute_match(self.wall.minute)
            .unwrap_or(false)
        {
            self.wall.minute += 1;
            self.wall.second = 0;
            if self.wall.minute >= 60 {
                return false;
            }
        }
        while !self
            .cron
            .pattern
            .second_match(self.wall.second)
            .unwrap_or(false)
        {
            self.wall.second += 1;
            if self.wall.second >= 60 {
                return false;
            }
        }
        true
    }

    fn enter_month(&mut self, month: u32) {
        self.wall.month = month;
        self.wall.day = 1;
        self.enter_hour(0);
    }

    fn enter_hour(&mut self, hour: u32) {
        self.wall.hour = hour;
        self.wall.minute = 0;
        self.wall.second = 0;
        self.is_second_copy = false;
    }
}

impl Wall {
    /// The same for the calendar; an hour of 24 is the next day's midnight.
    fn naive(self) -> Option<NaiveDateTime> {
        let day = NaiveDate::from_ymd_opt(self.year, self.month, self.day)?;
        let midnight = day.and_hms_opt(0, self.minute, self.second)?;
        midnight.checked_add_signed(HOUR * i32::try_from(self.hour).ok()?)
    }
}

impl TimeZone {
    /// What the wall clock shows at an instant.
    fn wall_clock(self, instant: DateTime<Utc>) -> NaiveDateTime {
        instant.with_timezone(&self.0).naive_local()
    }

    /// The instant at which the wall clock shows `wall`, as Go's `time.Date` chooses it: with the
    /// offset of an instant near by where there are two, or none.
    fn instant(self, wall: NaiveDateTime) -> DateTime<Utc> {
        let offset = |utc: NaiveDateTime| self.0.offset_from_utc_datetime(&utc).fix();
        let near = wall - offset(wall);
        (wall - offset(near)).and_utc()
    }
}

fn days_in_month(year: i32, month: u32) -> u32 {
    let first = NaiveDate::from_ymd_opt(year, month, 1);
    first.map_or(0, |first| first.num_days_in_month().into())
}

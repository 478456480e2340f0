//! Instants in the past, as a person writes them.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

/// Reads an instant in RFC 3339, a day (its beginning in UTC), or how long ago it was, such as
/// `90m`, `2h` or `7d`.
pub(crate) fn parse(text: &str) -> Result<DateTime<Utc>, String> {
    parse_at(text, Utc::now())
}

fn parse_at(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let wrong = || {
        "write an instant in RFC 3339, such as 2026-11-24T09:00:00Z, a day, such as 2026-11-24, or \
         how long ago, such as 90m, 2h or 7d"
            .to_owned()
    };
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let count: i64 = number.parse().map_err(|_| wrong())?;
    let unit = match &text[number.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let ago = count.checked_mul(unit).filter(|seconds| *seconds >= 0);
    ago.and_then(TimeDelta::try_seconds)
        .and_then(|ago| now.checked_sub_signed(ago))
        .ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use contracts::workflow::format_time;

    use super::*;

    #[test]
    fn an_instant_a_day_and_an_age_are_understood() {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-11-24T09:00:00+01:00", "2026-11-24T08:00:00Z"),
            ("2026-11-24", "2026-11-24T00:00:00Z"),
            ("90m", "2026-11-24T10:30:00Z"),
            ("2h", "2026-11-24T10:00:00Z"),
            ("7d", "2026-11-17T12:00:00Z"),
            ("0s", "2026-11-24T12:00:00Z"),
        ] {
            assert_eq!(format_time(parse_at(text, now).unwrap()), expected);
        }
        for wrong in ["", "h", "2", "2w", "-2h", "yesterday", "99999999999999999d"] {
            assert!(parse_at(wrong, now).is_err(), "{wrong}");
        }
    }
}

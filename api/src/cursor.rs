//! The token with which a reader of the run history goes on: opaque to callers, a place in the
//! ledger to us.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use domain::RunId;
use store::PageKey;
use uuid::Uuid;

/// The end of the year 9999, in microseconds since 1970.
const LAST_MICROSECOND: i64 = 253_402_300_799_999_999;

/// A token that this API did not make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no token of this API; send the `next` of the page before, unchanged")]
pub(crate) struct InvalidCursor;

/// The token of a place. Postgres keeps microseconds, so they suffice.
pub(crate) fn encode(key: PageKey) -> String {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&key.sort_time.timestamp_micros().to_be_bytes());
    bytes[8..].copy_from_slice(key.run_id.as_uuid().as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place of a token.
pub(crate) fn decode(token: &str) -> Result<PageKey, InvalidCursor> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| InvalidCursor)?;
    let (time, run) = bytes.split_first_chunk::<8>().ok_or(InvalidCursor)?;
    // Whatever has this form is a place; one beyond all that Postgres can hold is at an end.
    let microseconds = i64::from_be_bytes(*time).clamp(0, LAST_MICROSECOND);
    let sort_time = DateTime::from_timestamp_micros(microseconds).ok_or(InvalidCursor)?;
    let run_id = RunId::new(Uuid::from_slice(run).map_err(|_| InvalidCursor)?);
    Ok(PageKey { sort_time, run_id })
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike as _, Duration, TimeZone as _, Utc};

    use super::*;

    #[test]
    fn a_token_leads_back_to_its_place() {
        let key = PageKey {
            sort_time: Utc.with_ymd_and_hms(2026, 11, 24, 9, 0, 0).unwrap()
                + Duration::microseconds(123_456),
            run_id: RunId::new(Uuid::from_u128(7)),
        };
        assert_eq!(decode(&encode(key)), Ok(key));
    }

    #[test]
    fn anything_else_is_refused() {
        for token in ["", "!", "AAAA", &URL_SAFE_NO_PAD.encode([0xff; 23])] {
            assert_eq!(decode(token), Err(InvalidCursor), "{token}");
        }
    }

    #[test]
    fn a_token_beyond_all_times_leads_to_an_end() {
        let last = URL_SAFE_NO_PAD.encode([0x7f; 24]);
        assert_eq!(decode(&last).unwrap().sort_time.year(), 9999);
        let first = URL_SAFE_NO_PAD.encode([0x80; 24]);
        assert_eq!(decode(&first).unwrap().sort_time.year(), 1970);
    }
}

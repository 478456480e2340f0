//! The W3C trace context of a run's outbound calls.

use domain::RunId;

/// The `traceparent` header of a run that belongs to a trace: version 00, the trace, a span that
/// is a function of the run, sampled. `None` when the trace id is none in the sense of W3C Trace
/// Context, section 3.2.2.3: 32 hexadecimal digits that are not all zero. A UUID counts as one.
pub(crate) fn traceparent(trace_id: Option<&str>, run: RunId) -> Option<String> {
    let trace: String = trace_id?
        .chars()
        .filter(|character| *character != '-')
        .map(|character| character.to_ascii_lowercase())
        .collect();
    let is_hexadecimal = trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hexadecimal || trace.bytes().all(|byte| byte == b'0') {
        return None;
    }
    // The second half of a UUID begins with its variant bits, and so is never zero.
    let (_, span) = run.as_uuid().as_u64_pair();
    Some(format!("00-{trace}-{span:016x}-01"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunId {
        "0f5c63b1-6a5e-4b6c-9d2f-3a1b2c4d5e6f".parse().unwrap()
    }

    #[test]
    fn a_trace_id_and_a_uuid_become_a_traceparent() {
        let expected = "00-4bf92f3577b34da6a3ce929d0e0e4736-9d2f3a1b2c4d5e6f-01";
        for id in [
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "4BF92F35-77B3-4DA6-A3CE-929D0E0E4736",
        ] {
            assert_eq!(traceparent(Some(id), run()).as_deref(), Some(expected));
        }
    }

    #[test]
    fn anything_else_is_no_trace() {
        for id in [
            "",
            "abc",
            "zzf92f3577b34da6a3ce929d0e0e4736",
            &"0".repeat(32),
        ] {
            assert_eq!(traceparent(Some(id), run()), None, "{id}");
        }
        assert_eq!(traceparent(None, run()), None);
    }
}

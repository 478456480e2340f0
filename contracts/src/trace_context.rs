//! W3C Trace Context: which trace an event belongs to.
//!
//! Source: W3C Trace Context Level 1, section 3.2.2.

/// The header, and the attribute of CloudEvents' distributed-tracing extension.
pub const TRACEPARENT: &str = "traceparent";

/// The trace id in a `traceparent`; `None` when it is none in the sense of the standard, which
/// asks to go on as if it were not there.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let mut fields = traceparent.trim().split('-');
    let (version, trace, parent, flags) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    let is_well_formed = is_hexadecimal(version, 2)
        && version != "ff"
        && is_hexadecimal(trace, 32)
        && is_hexadecimal(parent, 16)
        && is_hexadecimal(flags, 2)
        // A later version may have more fields; this one has not.
        && (version != "00" || fields.next().is_none());
    (is_well_formed && !is_zero(trace) && !is_zero(parent)).then_some(trace)
}

fn is_hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

fn is_zero(text: &str) -> bool {
    text.bytes().all(|byte| byte == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_traceparent_of_the_standard_names_a_trace() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = "00f067aa0ba902b7";
        for good in [
            format!("00-{trace}-{parent}-01"),
            format!("01-{trace}-{parent}-01-more"),
        ] {
            assert_eq!(trace_id(&good), Some(trace), "{good}");
        }
        for bad in [
            String::new(),
            trace.to_owned(),
            format!("ff-{trace}-{parent}-01"),
            format!("00-{trace}-{parent}"),
            format!("00-{trace}-{parent}-01-more"),
            format!("00-{}-{parent}-01", trace.to_uppercase()),
            format!("00-{}-{parent}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{parent}-01", &trace[1..]),
        ] {
            assert_eq!(trace_id(&bad), None, "{bad}");
        }
    }
}

//! W3C Trace Context: the headers `traceparent` and `tracestate`.

use std::str::FromStr;

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// Bytes of `tracestate` that are passed on; a longer one is left out whole.
const MAX_STATE: usize = 512;

/// The caller's span. `None` for what the recommendation calls invalid, which is stricter than
/// [`TraceId::from_hex`]: each field has its length, in lower case.
#[must_use]
pub fn trace_context(traceparent: &str, tracestate: &str) -> Option<SpanContext> {
    let mut fields = traceparent.split('-');
    let version = hex::<2>(fields.next()?)?;
    let (trace, span) = (hex::<32>(fields.next()?)?, hex::<16>(fields.next()?)?);
    let flags = hex::<2>(fields.next()?)?;
    // Later versions may have more fields; ff is none.
    if version == "ff" || (version == "00" && fields.next().is_some()) {
        return None;
    }
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
    let state = Some(tracestate).filter(|state| state.len() <= MAX_STATE);
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(sampled),
        true,
        state.and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default(),
    );
    // Zeros are no id.
    context.is_valid().then_some(context)
}

/// `field`, if it is that many hexadecimal digits.
fn hex<const LENGTH: usize>(field: &str) -> Option<&str> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (field.len() == LENGTH && field.bytes().all(digit)).then_some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_valid_header_is_taken_over() {
        let context = trace_context(&format!("00-{TRACE}-{SPAN}-01"), "a=1, b=2").unwrap();
        assert_eq!(context.trace_id().to_string(), TRACE);
        assert_eq!(context.span_id().to_string(), SPAN);
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(context.trace_state().header(), "a=1,b=2");
        let context = trace_context(&format!("00-{TRACE}-{SPAN}-02"), "").unwrap();
        assert!(!context.is_sampled());
        assert!(trace_context(&format!("cc-{TRACE}-{SPAN}-01-what-comes"), "").is_some());
    }

    #[test]
    fn what_is_invalid_is_ignored() {
        let upper = TRACE.to_uppercase();
        for header in [
            String::new(),
            "nonsense".to_owned(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-+1"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0-{TRACE}-{SPAN}-01"),
            format!("00-{upper}-{SPAN}-01"),
            format!("00-{}-{SPAN}-01", &TRACE[1..]),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!(" 00-{TRACE}-{SPAN}-01"),
        ] {
            assert_eq!(trace_context(&header, ""), None, "{header}");
        }
    }

    #[test]
    fn a_state_that_is_broken_or_too_long_leaves_the_parent() {
        let header = format!("00-{TRACE}-{SPAN}-01");
        for state in ["no pair", &format!("a={}", "x".repeat(600))] {
            let context = trace_context(&header, state).unwrap();
            assert_eq!(context.trace_state().header(), "");
        }
    }
}

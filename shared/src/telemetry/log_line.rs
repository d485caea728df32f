//! Log lines that end with the ids of the current trace and span, to link logs and traces.

use std::fmt;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt as _;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// A log format that appends the ids to each line.
pub(super) struct WithTrace<F> {
    format: F,
    json: bool,
}

impl<F> WithTrace<F> {
    pub(super) fn plain(format: F) -> Self {
        Self { format, json: false }
    }

    pub(super) fn json(format: F) -> Self {
        Self { format, json: true }
    }

    /// Writes the line with the ids of the current span, if there is one.
    fn append(&self, line: &str, writer: &mut Writer<'_>) -> fmt::Result {
        let line = line.trim_end_matches('\n');
        Context::map_current(|context| {
            let span = context.span();
            let ids = span.span_context();
            match line.strip_suffix('}') {
                _ if !ids.is_valid() => writeln!(writer, "{line}"),
                Some(open) if self.json => {
                    let trace_id = ids.trace_id();
                    let span_id = ids.span_id();
                    writeln!(writer, r#"{open},"trace_id":"{trace_id}","span_id":"{span_id}"}}"#)
                }
                _ => {
                    writeln!(writer, "{line} trace_id={} span_id={}", ids.trace_id(), ids.span_id())
                }
            }
        })
    }
}

impl<S, N, F> FormatEvent<S, N> for WithTrace<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        let inner = Writer::new(&mut line);
        self.format.format_event(context, inner, event)?;
        self.append(&line, &mut writer)
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

    use super::*;

    fn line(format: &WithTrace<()>, line: &str) -> String {
        let mut written = String::new();
        format.append(line, &mut Writer::new(&mut written)).unwrap();
        written
    }

    #[test]
    fn ids_are_there_where_a_span_is_and_only_there() {
        assert_eq!(line(&WithTrace::json(()), "{\"a\":1}\n"), "{\"a\":1}\n");
        assert_eq!(line(&WithTrace::plain(()), "a\n"), "a\n");
        let trace = TraceId::from_bytes([0x12; 16]);
        let span = SpanId::from_bytes([0x34; 8]);
        let ids = SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::default());
        let _entered = Context::new().with_remote_span_context(ids).attach();
        let trace = "12".repeat(16);
        let span = "34".repeat(8);
        let wanted = format!("{{\"a\":1,\"trace_id\":\"{trace}\",\"span_id\":\"{span}\"}}\n");
        assert_eq!(line(&WithTrace::json(()), "{\"a\":1}\n"), wanted);
        assert_eq!(
            line(&WithTrace::plain(()), "a {}\n"),
            format!("a {{}} trace_id={trace} span_id={span}\n")
        );
    }
}

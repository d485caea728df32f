//! Spans of a batch and of a flush. They have level DEBUG, so that none is created, at no cost, if
//! neither a collector nor the log asks for them.

use opentelemetry::trace::TraceContextExt as _;
use tracing::{Span, debug_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Starts the span of a batch, from its arrival to its acknowledgement. Its parent is the call.
pub(crate) fn batch() -> Span {
    debug_span!(
        "batch",
        tidegauge.points = tracing::field::Empty,
        tidegauge.sequence = tracing::field::Empty
    )
}

/// Starts the span of a batch's validation.
pub(crate) fn validate() -> Span {
    debug_span!("validate")
}

/// Starts the span of resolving series names to ids.
pub(crate) fn resolve() -> Span {
    debug_span!("resolve", tidegauge.series = tracing::field::Empty)
}

/// Starts the span of waiting for space in the queue.
pub(crate) fn permit() -> Span {
    debug_span!("room")
}

/// Starts the span of waiting for a writer.
pub(crate) fn queue() -> Span {
    debug_span!("queue")
}

/// Starts the span from the outcome of a flush until the acknowledgement is sent.
pub(crate) fn acknowledge(batch: &Span) -> Span {
    debug_span!(parent: batch, "acknowledge")
}

/// Starts the span of a flush. It belongs to the trace of its first sampled batch and links to the
/// other sampled ones.
pub(crate) fn flush<'b>(batches: impl Iterator<Item = &'b Span>) -> Span {
    let mut traced = batches.filter(|span| !span.is_disabled() && is_sampled(span));
    let Some(first) = traced.next() else { return Span::none() };
    let flush = debug_span!(
        parent: first,
        "flush",
        tidegauge.write_path = tracing::field::Empty,
        tidegauge.rows = tracing::field::Empty
    );
    for other in traced.take(MAX_LINKS) {
        flush.add_link(other.context().span().span_context().clone());
    }
    flush
}

/// Maximum number of links of a span. The SDK drops more by default.
const MAX_LINKS: usize = 128;

fn is_sampled(span: &Span) -> bool {
    span.context().span().span_context().is_sampled()
}

#[cfg(test)]
mod tests {
    use tracing::Span;
    use tracing::level_filters::LevelFilter;
    use tracing::subscriber::with_default;

    use super::{acknowledge, batch, flush, queue, validate};

    fn logged_at(level: LevelFilter) -> Vec<Span> {
        let log =
            tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::sink).finish();
        with_default(log, || {
            let batch = batch();
            vec![validate(), queue(), acknowledge(&batch), flush([&batch].into_iter()), batch]
        })
    }

    #[test]
    fn no_span_is_created_if_neither_a_collector_nor_the_log_asks_for_it() {
        assert!(logged_at(LevelFilter::INFO).iter().all(Span::is_disabled));
        let wanted = logged_at(LevelFilter::DEBUG);
        assert!(!wanted[0].is_disabled() && !wanted[4].is_disabled(), "the log asks for them");
        assert!(wanted[3].is_disabled(), "a flush without sampled batches is not traced");
    }
}

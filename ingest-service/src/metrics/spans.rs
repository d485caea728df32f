//! The spans of a batch and of a flush. Of level DEBUG, so that none is made, and nothing paid, where neither a collector nor
//! the log wants them.

use opentelemetry::trace::TraceContextExt as _;
use tracing::{Span, debug_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// A batch, from its arrival to its acknowledgement; below its call.
pub(crate) fn batch() -> Span {
    debug_span!(
        "batch",
        tidegauge.points = tracing::field::Empty,
        tidegauge.sequence = tracing::field::Empty
    )
}

/// Sorting a batch's points into valid ones and rejections.
pub(crate) fn validate() -> Span {
    debug_span!("validate")
}

/// Names of series to numbers.
pub(crate) fn resolve() -> Span {
    debug_span!("resolve", tidegauge.series = tracing::field::Empty)
}

/// Waiting for room in the queue.
pub(crate) fn room() -> Span {
    debug_span!("room")
}

/// Waiting for a writer.
pub(crate) fn queue() -> Span {
    debug_span!("queue")
}

/// From the outcome of a flush until the acknowledgement is handed on.
pub(crate) fn acknowledge(batch: &Span) -> Span {
    debug_span!(parent: batch, "acknowledge")
}

/// A flush: in the trace of the first of its batches that is sampled, with a link to every other.
pub(crate) fn flush<'b>(batches: impl Iterator<Item = &'b Span>) -> Span {
    let mut traced = batches.filter(|span| !span.is_disabled() && is_sampled(span));
    let Some(first) = traced.next() else { return Span::none() };
    let flush = debug_span!(parent: first, "flush", tidegauge.write_path = tracing::field::Empty, tidegauge.rows = tracing::field::Empty);
    for other in traced.take(MAX_LINKS) {
        flush.add_link(other.context().span().span_context().clone());
    }
    flush
}

/// The SDK keeps no more by default.
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
    fn no_span_is_made_where_neither_a_collector_nor_the_log_wants_it() {
        assert!(logged_at(LevelFilter::INFO).iter().all(Span::is_disabled));
        let wanted = logged_at(LevelFilter::DEBUG);
        assert!(!wanted[0].is_disabled() && !wanted[4].is_disabled(), "the log may want them");
        assert!(wanted[3].is_disabled(), "a flush of batches that nobody samples is not traced");
    }
}

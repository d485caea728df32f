//! Metrics and spans of ingest-service. They are recorded once per batch or flush, never per point.
//!
//! Metrics of both services are in `shared::metrics`. `docs/OBSERVABILITY.md` lists all of them.

mod labels;
mod spans;
mod specs;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, UpDownCounter};
use shared::metrics::{ERROR_TYPE, REASON};
use shared::proto::v1::RejectionReason;
use shared::telemetry::{Statements, error_type};

use crate::validate::{REASONS, Rejections};

use labels::{OPERATION, OUTCOME, WRITE_PATH};
use specs::{
    ACCEPTED, ACK_LATENCY, BATCHES, BATCHES_BOUNDS, CACHE_CAPACITY, CACHE_ENTRIES, CACHE_HITS,
    CACHE_MISSES, DUPLICATE, FLUSH_BATCHES, FLUSH_DURATION, FLUSH_POINTS, LATE, POINTS_BOUNDS,
    QUEUE, QUEUE_CAPACITY, QUEUE_WAIT, REJECTED, RETRIES, ROWS_BOUNDS, ROWS_PER_SERIES,
    SERIES_CREATED, WRITERS, WRITERS_BUSY,
};

pub(crate) use labels::{BatchOutcome, Operation, PROCEDURE};
pub(crate) use spans::{acknowledge, batch, flush, permit, queue, resolve, validate};
pub(crate) use specs::{
    JOBS_FAILING, LEDGER_PRODUCERS, LEDGER_SIZE, ROLLUP_LAG, ROLLUP_REFRESH_AGE,
};

/// Figures of one flush.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FlushShape {
    /// Label of the write path.
    pub(crate) write_path: &'static str,
    /// Number of points.
    pub(crate) rows: usize,
    /// Number of distinct series.
    pub(crate) series: usize,
    /// Number of late points.
    pub(crate) late: usize,
}

/// Recorder of all metrics; cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Instruments>);

struct Instruments {
    meter: Meter,
    accepted: Counter<u64>,
    duplicate: Counter<u64>,
    rejected: Counter<u64>,
    /// Labels, indexed by the number of the reason.
    reasons: [KeyValue; REASONS],
    late: Counter<u64>,
    batches: Counter<u64>,
    ack_latency: Histogram<f64>,
    queue_wait: Histogram<f64>,
    flush_duration: Histogram<f64>,
    flush_points: Histogram<f64>,
    flush_batches: Histogram<f64>,
    rows_per_series: Histogram<f64>,
    writers_busy: UpDownCounter<i64>,
    retries: Counter<u64>,
    series_created: Counter<u64>,
    cache_hits: Counter<u64>,
    cache_misses: Counter<u64>,
    statements: Statements,
    /// Watermark of the minute rollup when last sampled, in microseconds since the Unix epoch.
    watermark: AtomicI64,
}

impl Metrics {
    pub(crate) fn new(meter: Meter) -> Self {
        let metrics = Self(Arc::new(Instruments {
            accepted: ACCEPTED.counter(&meter),
            duplicate: DUPLICATE.counter(&meter),
            rejected: REJECTED.counter(&meter),
            reasons: std::array::from_fn(|number| KeyValue::new(REASON, reason_name(number))),
            late: LATE.counter(&meter),
            batches: BATCHES.counter(&meter),
            ack_latency: ACK_LATENCY.histogram(&meter),
            queue_wait: QUEUE_WAIT.histogram(&meter),
            flush_duration: FLUSH_DURATION.histogram(&meter),
            flush_points: FLUSH_POINTS.sizes(&meter, &POINTS_BOUNDS),
            flush_batches: FLUSH_BATCHES.sizes(&meter, &BATCHES_BOUNDS),
            rows_per_series: ROWS_PER_SERIES.sizes(&meter, &ROWS_BOUNDS),
            writers_busy: WRITERS_BUSY.up_down(&meter),
            retries: RETRIES.counter(&meter),
            series_created: SERIES_CREATED.counter(&meter),
            cache_hits: CACHE_HITS.counter(&meter),
            cache_misses: CACHE_MISSES.counter(&meter),
            statements: Statements::new(&meter),
            watermark: AtomicI64::new(i64::MIN),
            meter,
        }));
        metrics.begin_at_zero();
        metrics
    }

    /// Starts all counters at zero. A counter that first appears with an event shows no rate for
    /// it.
    fn begin_at_zero(&self) {
        let it = &self.0;
        for counter in [
            &it.accepted,
            &it.duplicate,
            &it.late,
            &it.series_created,
            &it.cache_hits,
            &it.cache_misses,
        ] {
            counter.add(0, &[]);
        }
        it.writers_busy.add(0, &[]);
        it.reasons[1..].iter().for_each(|reason| it.rejected.add(0, std::slice::from_ref(reason)));
        BatchOutcome::ALL
            .into_iter()
            .for_each(|outcome| it.batches.add(0, &[KeyValue::new(OUTCOME, outcome.name())]));
        for operation in [Operation::Flush, Operation::Series, Operation::RefusedPoints] {
            it.retries.add(0, &retry_attributes(operation, "connection"));
        }
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.0.meter
    }

    pub(crate) fn statements(&self) -> &Statements {
        &self.0.statements
    }

    pub(crate) fn batch(&self, outcome: BatchOutcome) {
        self.0.batches.add(1, &[KeyValue::new(OUTCOME, outcome.name())]);
    }

    pub(crate) fn accepted(&self, points: u64) {
        self.0.accepted.add(points, &[]);
        self.batch(BatchOutcome::Applied);
    }

    pub(crate) fn duplicate(&self, points: u64) {
        self.0.duplicate.add(points, &[]);
        self.batch(BatchOutcome::Duplicate);
    }

    pub(crate) fn rejected(&self, rejections: &Rejections) {
        for (reason, &count) in self.0.reasons.iter().zip(&rejections.by_reason) {
            if count > 0 {
                self.0.rejected.add(count, std::slice::from_ref(reason));
            }
        }
    }

    pub(crate) fn waited_for_permit(&self, wait: Duration) {
        self.0.queue_wait.record(wait.as_secs_f64(), &[]);
    }

    pub(crate) fn acknowledged(&self, latency: Duration) {
        self.0.ack_latency.record(latency.as_secs_f64(), &[]);
    }

    pub(crate) fn flushed(&self, duration: Duration, batches: usize, shape: FlushShape) {
        let it = &self.0;
        it.flush_duration
            .record(duration.as_secs_f64(), &[KeyValue::new(WRITE_PATH, shape.write_path)]);
        it.flush_points.record(shape.rows as f64, &[]);
        it.flush_batches.record(batches as f64, &[]);
        if shape.series > 0 {
            it.rows_per_series.record(shape.rows as f64 / shape.series as f64, &[]);
        }
        it.late.add(shape.late as u64, &[]);
    }

    pub(crate) fn writer_busy(&self, change: i64) {
        self.0.writers_busy.add(change, &[]);
    }

    pub(crate) fn retry(&self, operation: Operation, error: &sqlx::Error) {
        self.0.retries.add(1, &retry_attributes(operation, error_type(error)));
    }

    pub(crate) fn series_created(&self, series: u64) {
        self.0.series_created.add(series, &[]);
    }

    pub(crate) fn looked_up(&self, hits: usize, misses: usize) {
        self.0.cache_hits.add(hits as u64, &[]);
        self.0.cache_misses.add(misses as u64, &[]);
    }

    /// Returns the watermark of the minute rollup in microseconds since the Unix epoch, or
    /// `i64::MIN` before the first sample.
    pub(crate) fn watermark(&self) -> i64 {
        self.0.watermark.load(Ordering::Relaxed)
    }

    pub(crate) fn set_watermark(&self, micros: i64) {
        self.0.watermark.store(micros, Ordering::Relaxed);
    }

    /// Exports the capacity and the length of the queue. `free` returns the number of points that
    /// still fit.
    pub(crate) fn observe_queue(
        &self,
        capacity: usize,
        free: impl Fn() -> usize + Send + Sync + 'static,
    ) {
        QUEUE_CAPACITY.observe(&self.0.meter, move |gauge| gauge.observe(capacity as f64, &[]));
        QUEUE.observe(&self.0.meter, move |gauge| {
            gauge.observe(capacity.saturating_sub(free()) as f64, &[])
        });
    }

    pub(crate) fn observe_writers(&self, writers: usize) {
        WRITERS.observe(&self.0.meter, move |gauge| gauge.observe(writers as f64, &[]));
    }

    pub(crate) fn observe_cache(
        &self,
        capacity: usize,
        entries: impl Fn() -> usize + Send + Sync + 'static,
    ) {
        CACHE_CAPACITY.observe(&self.0.meter, move |gauge| gauge.observe(capacity as f64, &[]));
        CACHE_ENTRIES.observe(&self.0.meter, move |gauge| gauge.observe(entries() as f64, &[]));
    }
}

fn retry_attributes(operation: Operation, cause: &'static str) -> [KeyValue; 2] {
    [KeyValue::new(OPERATION, operation.name()), KeyValue::new(ERROR_TYPE, cause)]
}

/// Returns the label of a reason, such as `value_not_finite`.
fn reason_name(number: usize) -> String {
    let reason = i32::try_from(number)
        .ok()
        .and_then(|number| RejectionReason::try_from(number).ok())
        .unwrap_or_default();
    reason.as_str_name().trim_start_matches("REJECTION_REASON_").to_lowercase()
}

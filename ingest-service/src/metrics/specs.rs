//! Names, units and descriptions of the metrics of ingest-service.

use shared::metrics::Spec;

pub(super) const POINTS_BOUNDS: [f64; 10] =
    [1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0, 25_000.0, 50_000.0, 75_000.0, 100_000.0];
pub(super) const BATCHES_BOUNDS: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1_000.0];
pub(super) const ROWS_BOUNDS: [f64; 9] = [1.0, 2.0, 3.0, 5.0, 10.0, 25.0, 50.0, 100.0, 1_000.0];

pub(super) const ACCEPTED: Spec =
    Spec::new("tidegauge.points.accepted", "{point}", "Committed points, without duplicates");
pub(super) const DUPLICATE: Spec = Spec::new(
    "tidegauge.points.duplicate",
    "{point}",
    "Points of resent batches that were already committed",
);
pub(super) const REJECTED: Spec =
    Spec::new("tidegauge.points.rejected", "{point}", "Rejected points, by reason");
pub(super) const LATE: Spec = Spec::new(
    "tidegauge.points.late",
    "{point}",
    "Committed points older than the watermark of the minute rollup",
);
pub(super) const BATCHES: Spec = Spec::new("tidegauge.batches", "{batch}", "Batches, by outcome");
pub(super) const ACK_LATENCY: Spec = Spec::new(
    "tidegauge.ack.latency",
    "s",
    "Time from the arrival of a batch until its acknowledgement is sent",
);
pub(super) const QUEUE: Spec =
    Spec::new("tidegauge.queue.points", "{point}", "Accepted points that are not settled yet");
pub(super) const QUEUE_CAPACITY: Spec = Spec::new(
    "tidegauge.queue.capacity",
    "{point}",
    "Maximum of tidegauge.queue.points (TIDEGAUGE_QUEUE_MAX_POINTS)",
);
pub(super) const QUEUE_WAIT: Spec =
    Spec::new("tidegauge.queue.wait", "s", "Time that a batch waits for space in the queue");
pub(super) const FLUSH_DURATION: Spec =
    Spec::new("tidegauge.flush.duration", "s", "Duration of a flush, including retries");
pub(super) const FLUSH_POINTS: Spec =
    Spec::new("tidegauge.flush.points", "{point}", "Points written by a flush");
pub(super) const FLUSH_BATCHES: Spec =
    Spec::new("tidegauge.flush.batches", "{batch}", "Batches settled by a flush");
pub(super) const ROWS_PER_SERIES: Spec = Spec::new(
    "tidegauge.flush.rows_per_series",
    "{row}",
    "Average number of points per series in a flush",
);
pub(super) const WRITERS: Spec = Spec::new(
    "tidegauge.writers",
    "{writer}",
    "Number of writers (TIDEGAUGE_WRITERS, and one for small clients)",
);
pub(super) const WRITERS_BUSY: Spec =
    Spec::new("tidegauge.writers.busy", "{writer}", "Writers with a flush in progress");
pub(super) const RETRIES: Spec =
    Spec::new("tidegauge.retries", "{retry}", "Retries of database operations, by cause");
pub(super) const SERIES_CREATED: Spec =
    Spec::new("tidegauge.series.created", "{series}", "Series created by a batch");
pub(super) const CACHE_ENTRIES: Spec =
    Spec::new("tidegauge.series_cache.entries", "{series}", "Series ids in the cache");
pub(super) const CACHE_CAPACITY: Spec = Spec::new(
    "tidegauge.series_cache.capacity",
    "{series}",
    "Capacity of the cache (TIDEGAUGE_SERIES_CACHE)",
);
pub(super) const CACHE_HITS: Spec =
    Spec::new("tidegauge.series_cache.hits", "{series}", "Lookups answered by the cache");
pub(super) const CACHE_MISSES: Spec =
    Spec::new("tidegauge.series_cache.misses", "{series}", "Lookups sent to the database");
pub(crate) const LEDGER_PRODUCERS: Spec = Spec::new(
    "tidegauge.ledger.producers",
    "{producer}",
    "Estimated number of producers in the ledger, sampled once a minute",
);
pub(crate) const LEDGER_SIZE: Spec =
    Spec::new("tidegauge.ledger.size", "By", "Size of the ledger on disk, including indexes");
pub(crate) const ROLLUP_LAG: Spec = Spec::new(
    "tidegauge.rollup.lag",
    "s",
    "Time by which the watermark of a rollup is behind the clock",
);
pub(crate) const ROLLUP_REFRESH_AGE: Spec = Spec::new(
    "tidegauge.rollup.refresh_age",
    "s",
    "Time since the refresh job of a rollup last succeeded",
);
pub(crate) const JOBS_FAILING: Spec = Spec::new(
    "tidegauge.database.jobs.failing",
    "{job}",
    "Jobs of the database whose last run failed",
);

//! One run on a database of its own that starts with a month of history.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use e2e::Memory;
use shared::time;
use sqlx::postgres::PgConnection;
use tokio::time::Instant;

use super::feed::Fleet;
use super::sample::Sample;
use super::sender::{Progress, send};
use crate::bench::numbers::percentile;
use crate::bench::query::{self, QuestionTimes};
use crate::bench::step;
use crate::bench::table::PointsTable;
use crate::own_database::OwnDatabase;
use crate::release::Kind;
use crate::service::Service;

const SAMPLE_EVERY: Duration = Duration::from_secs(10);
/// Greatest lag of the minute rollup, in seconds, at which the rollups still keep up.
///
/// A refresh starts one minute after the last one ended. It leaves out the open minute and the one
/// before. A greater lag means that refreshes take longer than the time that they cover.
const MAX_LAG_S: f64 = 240.0;

/// Settings of one run.
pub(super) struct Trial {
    pub(super) fleet: Fleet,
    pub(super) length: Duration,
    /// Points per second. `None` means full speed.
    pub(super) rate: Option<f64>,
    /// Time of the run, in microseconds since the Unix epoch.
    pub(super) now: i64,
}

/// Result of one run.
pub(super) struct TrialOutcome {
    pub(super) wanted: Option<f64>,
    pub(super) points: u64,
    pub(super) elapsed: Duration,
    pub(super) samples: Vec<Sample>,
    /// Sample taken before the load.
    pub(super) before: Sample,
    pub(super) ack_p50_ms: f64,
    pub(super) ack_p99_ms: f64,
    pub(super) peak_mib: Option<f64>,
    pub(super) fresh: QuestionTimes,
    pub(super) compacted: QuestionTimes,
}

impl TrialOutcome {
    pub(super) fn rate(&self) -> f64 {
        self.points as f64 / self.elapsed.as_secs_f64()
    }

    /// Returns whether the rollups kept up until the end.
    pub(super) fn keeps_up(&self) -> bool {
        self.samples.last().is_some_and(|sample| sample.lag_s[0] <= MAX_LAG_S)
    }
}

impl Trial {
    pub(super) async fn run(&self, database: &OwnDatabase) -> anyhow::Result<TrialOutcome> {
        let table = PointsTable(database);
        query::fill_history(database, self.now).await?;
        let ingest_service = Service::start(Kind::Ingest, database.url()).await?;
        table.set_policies(true).await?;
        let mut connection = database.connect().await?;
        let before = Sample::take(&mut connection).await?;
        let progress = Arc::new(Progress::default());
        let began = Instant::now();
        let end = began + self.length;
        let sending = send(&ingest_service, self.fleet, self.rate, self.length, &progress);
        let sampling = sample(&mut connection, &progress, began, end);
        let ((), (samples, latencies)) = tokio::try_join!(sending, sampling)?;
        let elapsed = began.elapsed();
        let points = progress.points();
        let peak_mib = ingest_service.memory().and_then(Memory::peak_mib);
        ingest_service.stop().await;
        table.set_policies(false).await?;

        let per_series = points as f64 / self.fleet.series as f64 / elapsed.as_secs_f64();
        let (fresh, compacted) = measure_questions(database, per_series, self.length).await?;
        let ack_p50_ms = percentile(&latencies, 0.5);
        let ack_p99_ms = percentile(&latencies, 0.99);
        let wanted = self.rate;
        Ok(TrialOutcome {
            wanted,
            points,
            elapsed,
            samples,
            before,
            ack_p50_ms,
            ack_p99_ms,
            peak_mib,
            fresh,
            compacted,
        })
    }
}

/// Takes a sample every ten seconds. Returns the samples and all latencies.
async fn sample(
    connection: &mut PgConnection,
    progress: &Progress,
    start: Instant,
    end: Instant,
) -> anyhow::Result<(Vec<Sample>, Vec<f64>)> {
    let mut samples = Vec::new();
    let mut all_latencies = Vec::new();
    let mut last = (start, 0);
    while last.0 < end {
        tokio::time::sleep_until((last.0 + SAMPLE_EVERY).min(end)).await;
        let now = Instant::now();
        let points = progress.points();
        let latencies = progress.take_latencies();
        let taken = Sample {
            at: (now - start).as_secs_f64(),
            rate: (points - last.1) as f64 / (now - last.0).as_secs_f64(),
            ack_p99_ms: percentile(&latencies, 0.99),
            ..Sample::take(connection).await?
        };
        step(&format!(
            "{:>4.0} s {:>12.0} points/s, p99 {:>5.0} ms, minutes {:>4.0} s behind",
            taken.at, taken.rate, taken.ack_p99_ms, taken.lag_s[0]
        ));
        samples.push(taken);
        all_latencies.extend(latencies);
        last = (now, points);
    }
    Ok((samples, all_latencies))
}

/// Measures the six questions right after the load, and again after compaction.
async fn measure_questions(
    database: &OwnDatabase,
    points_per_second: f64,
    length: Duration,
) -> anyhow::Result<(QuestionTimes, QuestionTimes)> {
    let service = Service::start(Kind::Query, database.url()).await?;
    let end = time::now_micros();
    let fresh = query::query_until(&service, end, points_per_second, length)
        .await
        .context("queries right after the load")?;
    step("compacting");
    PointsTable(database).compress().await?;
    let compacted = query::query_until(&service, end, points_per_second, length)
        .await
        .context("queries after compaction")?;
    service.stop().await;
    Ok((fresh, compacted))
}

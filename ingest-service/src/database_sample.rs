//! Samples figures of the database once a minute on its own connection: the watermarks of the
//! rollups, the size of the ledger, and failing jobs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use shared::config::DatabaseConfig;
use shared::granularity::Granularity;
use shared::readiness::{Readiness, ReadinessHandle};
use shared::{db, time};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio_util::sync::CancellationToken;

use shared::metrics::GRANULARITY;

use crate::metrics::{
    JOBS_FAILING, LEDGER_PRODUCERS, LEDGER_SIZE, Metrics, PROCEDURE, ROLLUP_LAG, ROLLUP_REFRESH_AGE,
};

const INTERVAL: Duration = Duration::from_secs(60);
/// Time until the next try while the database is not ready.
const PAUSE: Duration = Duration::from_secs(1);
/// Timeout of a sample, which reads only estimates and catalogs.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Figures of one sample. Times are microseconds since the Unix epoch.
#[derive(Clone, Debug, Default)]
struct DatabaseSample {
    /// Watermark of each rollup.
    watermarks: Vec<(Granularity, i64)>,
    /// Time of each rollup's last successful refresh.
    refreshed: Vec<(Granularity, i64)>,
    /// Number of producers, and size on disk in bytes.
    ledger: Option<(f64, f64)>,
    /// Number of failing jobs by procedure.
    failing: BTreeMap<String, f64>,
}

type LatestSample = Arc<Mutex<DatabaseSample>>;

/// Starts the task that samples the database until the token is cancelled, and exports the figures.
pub(crate) fn start(
    database: DatabaseConfig,
    readiness: ReadinessHandle,
    metrics: &Metrics,
    shutdown: CancellationToken,
) {
    let latest = LatestSample::default();
    observe(metrics, &latest);
    let metrics = metrics.clone();
    tokio::spawn(shutdown.run_until_cancelled_owned(async move {
        loop {
            if readiness.now() != Readiness::Ready {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            match db::within(TIMEOUT, sample(&database)).await {
                Ok(found) => {
                    let minutes =
                        found.watermarks.iter().find(|(rollup, _)| *rollup == Granularity::Minute);
                    minutes.iter().for_each(|(_, watermark)| metrics.set_watermark(*watermark));
                    *latest.lock().unwrap_or_else(PoisonError::into_inner) = found;
                }
                Err(error) => tracing::warn!(%error, "cannot read metrics of the database"),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }));
}

async fn sample(database: &DatabaseConfig) -> sqlx::Result<DatabaseSample> {
    let mut connection = db::connect(database, "tidegauge metrics").await?;
    let watermarks = by_rollup(&mut connection, include_str!("sql/watermarks.sql")).await?;
    let refreshed = by_rollup(&mut connection, include_str!("sql/refreshed.sql")).await?;
    let ledger =
        sqlx::query_as(include_str!("sql/ledger_size.sql")).fetch_optional(&mut connection).await?;
    let failing: Vec<(String, i64)> =
        sqlx::query_as(include_str!("sql/jobs_failing.sql")).fetch_all(&mut connection).await?;
    connection.close().await?;
    let failing = failing.into_iter().map(|(job, count)| (job, count as f64)).collect();
    Ok(DatabaseSample { watermarks, refreshed, ledger, failing })
}

async fn by_rollup(
    connection: &mut PgConnection,
    statement: &'static str,
) -> sqlx::Result<Vec<(Granularity, i64)>> {
    let rows: Vec<(String, i64)> = sqlx::query_as(statement).fetch_all(connection).await?;
    let rollup =
        |name: &str| Granularity::ROLLUPS.into_iter().find(|rollup| rollup.relation() == name);
    let known = rows.into_iter().filter_map(|(name, micros)| Some((rollup(&name)?, micros)));
    // A rollup that was never refreshed has the lowest possible watermark.
    Ok(known.filter(|(_, micros)| *micros > 0).collect())
}

fn seconds_since(micros: i64) -> f64 {
    ((time::now_micros() - micros) as f64 / time::MICROS_PER_SECOND as f64).max(0.0)
}

fn observe(metrics: &Metrics, latest: &LatestSample) {
    let read =
        |latest: &LatestSample| latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let sample = Arc::clone(latest);
    ROLLUP_LAG.observe(metrics.meter(), move |gauge| {
        for (rollup, watermark) in read(&sample).watermarks {
            gauge.observe(seconds_since(watermark), &[KeyValue::new(GRANULARITY, rollup.name())]);
        }
    });
    let sample = Arc::clone(latest);
    ROLLUP_REFRESH_AGE.observe(metrics.meter(), move |gauge| {
        for (rollup, refreshed) in read(&sample).refreshed {
            gauge.observe(seconds_since(refreshed), &[KeyValue::new(GRANULARITY, rollup.name())]);
        }
    });
    let sample = Arc::clone(latest);
    LEDGER_PRODUCERS.observe(metrics.meter(), move |gauge| {
        read(&sample).ledger.iter().for_each(|(producers, _)| gauge.observe(*producers, &[]));
    });
    let sample = Arc::clone(latest);
    LEDGER_SIZE.observe(metrics.meter(), move |gauge| {
        read(&sample).ledger.iter().for_each(|(_, bytes)| gauge.observe(*bytes, &[]));
    });
    let sample = Arc::clone(latest);
    JOBS_FAILING.observe(metrics.meter(), move |gauge| {
        for (job, failing) in read(&sample).failing {
            gauge.observe(failing, &[KeyValue::new(PROCEDURE, job)]);
        }
    });
}

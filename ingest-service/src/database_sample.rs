//! What only the database knows, asked for once a minute on a connection of its own: how far the rollups are, how large the
//! ledger is, which jobs fail.

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
/// How soon it is tried again where the database is not ready.
const PAUSE: Duration = Duration::from_secs(1);
/// Estimates and catalogs: an answer that takes longer is not worth waiting for.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What was found last.
#[derive(Clone, Debug, Default)]
struct Sample {
    /// By rollup, in microseconds.
    watermarks: Vec<(Granularity, i64)>,
    /// By rollup: when its last refresh ended well, in microseconds.
    refreshed: Vec<(Granularity, i64)>,
    ledger: Option<(f64, f64)>,
    /// By procedure: jobs whose last run failed.
    failing: BTreeMap<String, f64>,
}

type Latest = Arc<Mutex<Sample>>;

/// Asks until the token is cancelled.
pub(crate) fn start(
    database: DatabaseConfig,
    readiness: ReadinessHandle,
    metrics: &Metrics,
    shutdown: CancellationToken,
) {
    let latest = Latest::default();
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
                Err(error) => tracing::warn!(%error, "cannot ask the database for its metrics"),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }));
}

async fn sample(database: &DatabaseConfig) -> sqlx::Result<Sample> {
    let mut connection = db::connect(database, "tidegauge metrics").await?;
    let watermarks = by_rollup(&mut connection, include_str!("sql/watermarks.sql")).await?;
    let refreshed = by_rollup(&mut connection, include_str!("sql/refreshed.sql")).await?;
    let ledger =
        sqlx::query_as(include_str!("sql/ledger_size.sql")).fetch_optional(&mut connection).await?;
    let failing: Vec<(String, i64)> =
        sqlx::query_as(include_str!("sql/jobs_failing.sql")).fetch_all(&mut connection).await?;
    connection.close().await?;
    let failing = failing.into_iter().map(|(job, count)| (job, count as f64)).collect();
    Ok(Sample { watermarks, refreshed, ledger, failing })
}

async fn by_rollup(
    connection: &mut PgConnection,
    statement: &'static str,
) -> sqlx::Result<Vec<(Granularity, i64)>> {
    let rows: Vec<(String, i64)> = sqlx::query_as(statement).fetch_all(connection).await?;
    let rollup =
        |name: &str| Granularity::ROLLUPS.into_iter().find(|rollup| rollup.relation() == name);
    let known = rows.into_iter().filter_map(|(name, micros)| Some((rollup(&name)?, micros)));
    Ok(known.filter(|(_, micros)| *micros > 0).collect()) // a rollup that never was has the smallest time there is
}

fn seconds_since(micros: i64) -> f64 {
    ((time::now_micros() - micros) as f64 / time::MICROS_PER_SECOND as f64).max(0.0)
}

fn observe(metrics: &Metrics, latest: &Latest) {
    let read = |latest: &Latest| latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
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

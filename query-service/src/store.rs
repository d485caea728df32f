//! The statements over points and rollups: one function each, the text in `sql/`, every value bound.

mod anomalies;
mod buckets;
mod chunks;
mod latest;
mod watched;

use shared::granularity::Granularity;

use crate::read_pool::ReadPool;

pub(crate) use anomalies::{baseline, baseline_hourly, baseline_values, count, count_hourly, outside, outside_hourly};
pub(crate) use buckets::{Bucket, BucketRead, buckets, count_up_to, extent, points_as_buckets};
pub(crate) use chunks::chunks;
pub(crate) use latest::latest;
pub(crate) use watched::{WatchedBounds, WatchedPoint, watched, watched_baselines, watched_hours, watched_minutes};

/// One raw point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// Microseconds since the Unix epoch.
    pub(crate) timestamp: i64,
    pub(crate) value: f64,
}

/// Up to where a rollup is materialised, and the table that holds it, quoted; none for one that never was.
pub(crate) async fn materialised(pool: &ReadPool, granularity: Granularity) -> sqlx::Result<Option<(i64, String)>> {
    let found: Option<(i64, String)> = sqlx::query_as(include_str!("sql/materialised.sql"))
        .bind(granularity.relation())
        .fetch_optional(&pool.named("materialised"))
        .await?;
    Ok(found.filter(|&(watermark, _)| watermark > 0)) // a rollup that never was has the smallest time there is
}

/// How old what each relation keeps may become, in microseconds, where a policy drops what is older.
pub(crate) async fn retention(pool: &ReadPool) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as(include_str!("sql/retention.sql")).fetch_all(&pool.named("retention")).await
}

/// Devices whose id lies in [prefix, prefix_end) and after `after`, each with its number of metrics.
pub(crate) async fn devices(
    pool: &ReadPool,
    prefix: &str,
    prefix_end: Option<String>,
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as(include_str!("sql/devices.sql"))
        .bind(prefix)
        .bind(prefix_end)
        .bind(after)
        .bind(limit)
        .fetch_all(&pool.named("devices"))
        .await
}

/// Metric names in [prefix, end) and after `after`, of the devices in such an interval.
pub(crate) async fn metrics_of_devices(
    pool: &ReadPool,
    devices: (&str, Option<String>),
    names: (&str, Option<String>),
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(include_str!("sql/metrics_of_devices.sql"))
        .bind(devices.0)
        .bind(devices.1)
        .bind(names.0)
        .bind(names.1)
        .bind(after)
        .bind(limit)
        .fetch_all(&pool.named("metrics_of_devices"))
        .await
}

/// Metric names in [prefix, prefix_end) and after `after`, of one device or of all.
pub(crate) async fn metrics(
    pool: &ReadPool,
    device_id: &str,
    prefix: &str,
    prefix_end: Option<String>,
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    let query = match device_id {
        "" => sqlx::query_scalar(include_str!("sql/metrics.sql")),
        device_id => sqlx::query_scalar(include_str!("sql/metrics_of_device.sql")).bind(device_id),
    };
    query.bind(prefix).bind(prefix_end).bind(after).bind(limit).fetch_all(&pool.named("metrics")).await
}

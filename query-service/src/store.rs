//! The SQL statements over points and rollups. Each has one function here and its text in `sql/`,
//! and binds every value.
//!
//! Every statement runs through `ReadPool::named`, so each has a name in the metrics. The views of
//! the rollups are not read, because they trust the watermark (see `watermarks`). One series is
//! read with `series_id = $1` and a kept plan. Several series are read from a rollup one after the
//! other by its index, and from points with `ANY($1)`, which is planned anew each time: a kept plan
//! of `ANY` may compare every row with every series.

mod anomalies;
mod bucket;
mod buckets;
mod chunks;
mod density;
mod latest;
mod rollups;
mod source;
mod watched;

use crate::read_pool::ReadPool;

pub(crate) use anomalies::{
    baseline, baseline_hourly, baseline_values, count, count_hourly, outside, outside_hourly,
};
pub(crate) use bucket::{Bucket, combine_parts};
pub(crate) use buckets::{BucketRead, buckets, count_up_to, extent, points_as_buckets};
pub(crate) use chunks::chunks;
pub(crate) use density::{compacted_chunks, days_of_points};
pub(crate) use latest::latest;
pub(crate) use rollups::{Materialised, UncoveredDays, materialised, uncovered};
pub(crate) use source::{Source, SourceInterval};
pub(crate) use watched::{
    WatchedBounds, WatchedPoint, watched, watched_baselines, watched_hours, watched_minutes,
};

/// One raw point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// Microseconds since the Unix epoch.
    pub(crate) timestamp: i64,
    pub(crate) value: f64,
}

/// Returns the maximum age of data in microseconds for each relation with a retention policy.
pub(crate) async fn retention(pool: &ReadPool) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as(include_str!("sql/retention.sql")).fetch_all(&pool.named("retention")).await
}

/// Returns the devices whose id is in [prefix, prefix_end) and after `after`, with their numbers of
/// metrics. Ordered by id, at most `limit`.
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

/// Returns the metric names in the range `names` and after `after`, of the devices in the range
/// `devices`. Both ranges are [prefix, end). Ordered by name, at most `limit`.
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

/// Returns the metric names in [prefix, prefix_end) and after `after`, of one device, or of all if
/// `device_id` is empty. Ordered by name, at most `limit`.
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
    query
        .bind(prefix)
        .bind(prefix_end)
        .bind(after)
        .bind(limit)
        .fetch_all(&pool.named("metrics"))
        .await
}

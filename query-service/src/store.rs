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
mod source;
mod watched;

use shared::granularity::Granularity;

use crate::read_pool::ReadPool;
use crate::uncovered::UncoveredDays;
use crate::watermarks::Materialised;

pub(crate) use anomalies::{
    baseline, baseline_hourly, baseline_values, count, count_hourly, outside, outside_hourly,
};
pub(crate) use bucket::{Bucket, combine_parts};
pub(crate) use buckets::{BucketRead, buckets, count_up_to, extent, points_as_buckets};
pub(crate) use chunks::chunks;
pub(crate) use density::{compacted_chunks, days_of_points};
pub(crate) use latest::latest;
pub(crate) use source::Source;
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

/// Returns the state of each rollup that was ever materialised.
pub(crate) async fn materialised(pool: &ReadPool) -> sqlx::Result<Vec<Materialised>> {
    let rollups = Granularity::ROLLUPS;
    let rows: Vec<(String, i64, String, i64, i64, Option<i64>)> =
        sqlx::query_as(include_str!("sql/materialised.sql"))
            .bind(rollups.map(Granularity::relation))
            .bind(rollups.map(|rollup| rollup.bucket_micros().unwrap_or_default()))
            .fetch_all(&pool.named("materialised"))
            .await?;
    let of_row = |(name, watermark, table, policy_reaches, known_to, disturbed_from): (
        String,
        _,
        _,
        _,
        _,
        _,
    )| {
        let rollup = rollups.into_iter().find(|rollup| rollup.relation() == name)?;
        Some(Materialised { rollup, watermark, table, policy_reaches, known_to, disturbed_from })
    };
    Ok(rows.into_iter().filter_map(of_row).collect())
}

/// Returns the maximum age of data in microseconds for each relation with a retention policy.
pub(crate) async fn retention(pool: &ReadPool) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as(include_str!("sql/retention.sql")).fetch_all(&pool.named("retention")).await
}

/// Returns the days that rollups do not cover, by rollup. Days that are computed from a finer
/// relation come first.
pub(crate) async fn uncovered(pool: &ReadPool) -> sqlx::Result<Vec<UncoveredDays>> {
    let rows: Vec<(i32, i32, i64, i64)> = sqlx::query_as(include_str!("sql/uncovered.sql"))
        .fetch_all(&pool.named("uncovered"))
        .await?;
    let levels = [Granularity::Raw, Granularity::Minute, Granularity::Hour, Granularity::Day];
    let level =
        |number: i32| usize::try_from(number).ok().and_then(|number| levels.get(number)).copied();
    let days = |(rollup, from, start, end): (i32, i32, i64, i64)| {
        Some(UncoveredDays { rollup: level(rollup)?, from: level(from)?, start, end })
    };
    Ok(rows.into_iter().filter_map(days).collect())
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

//! The statements over points and rollups: one function each, the text in `sql/`, every value bound.

mod anomalies;
mod chunks;
mod latest;
mod watched;

use shared::db::Micros;
use shared::granularity::Granularity;

use crate::read_pool::ReadPool;

pub(crate) use anomalies::{baseline, baseline_hourly, baseline_values, count, count_hourly, outside, outside_hourly};
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

/// One bucket of a rollup, or a raw point as a bucket of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    /// Microseconds since the Unix epoch.
    pub(crate) start: i64,
    pub(crate) count: u64,
    pub(crate) sum: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    pub(crate) first: f64,
    pub(crate) last: f64,
    /// Population variance.
    pub(crate) variance: f64,
}

impl Bucket {
    /// A raw point as a bucket.
    pub(crate) fn of(point: Point) -> Self {
        let Point { timestamp, value } = point;
        let (sum, min, max, first, last) = (value, value, value, value, value);
        Self { start: timestamp, count: 1, sum, min, max, first, last, variance: 0.0 }
    }

    /// Sample standard deviation; NaN for a single point.
    pub(crate) fn stddev(&self) -> f64 {
        let n = self.count as f64;
        if self.count < 2 { f64::NAN } else { (self.variance * n / (n - 1.0)).max(0.0).sqrt() }
    }
}

/// Points of a series in [start, end), the earliest first, at most `limit`.
pub(crate) async fn points(
    pool: &ReadPool,
    series_id: i32,
    start: i64,
    end: i64,
    limit: i64,
) -> sqlx::Result<Vec<Point>> {
    let rows: Vec<(Micros, f64)> = sqlx::query_as(include_str!("sql/points.sql"))
        .bind(series_id)
        .bind(Micros(start))
        .bind(Micros(end))
        .bind(limit)
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().map(|(timestamp, value)| Point { timestamp: timestamp.0, value }).collect())
}

type BucketRow = (Micros, i64, f64, f64, f64, f64, f64, f64);

/// Buckets of a series that begin in [start, end), the earliest first, at most `limit`.
pub(crate) async fn buckets(
    pool: &ReadPool,
    granularity: Granularity,
    series_id: i32,
    start: i64,
    end: i64,
    limit: i64,
) -> sqlx::Result<Vec<Bucket>> {
    let statement = match granularity {
        Granularity::Raw => {
            let points = points(pool, series_id, start, end, limit).await?;
            return Ok(points.into_iter().map(Bucket::of).collect());
        }
        Granularity::Minute => include_str!("sql/buckets_1min.sql"),
        Granularity::Hour => include_str!("sql/buckets_1hour.sql"),
        Granularity::Day => include_str!("sql/buckets_1day.sql"),
    };
    let rows: Vec<BucketRow> = sqlx::query_as(statement)
        .bind(series_id)
        .bind(Micros(start))
        .bind(Micros(end))
        .bind(limit)
        .fetch_all(pool)
        .await?;
    let bucket = |(start, count, sum, min, max, first, last, variance): BucketRow| Bucket {
        start: start.0,
        count: count.unsigned_abs(),
        sum,
        min,
        max,
        first,
        last,
        variance,
    };
    Ok(rows.into_iter().map(bucket).collect())
}

/// Up to where a rollup is materialised; none for raw points and for a rollup that never was.
pub(crate) async fn watermark(pool: &ReadPool, granularity: Granularity) -> sqlx::Result<Option<i64>> {
    if granularity == Granularity::Raw {
        return Ok(None);
    }
    let watermark: Option<i64> =
        sqlx::query_scalar(include_str!("sql/watermark.sql")).bind(granularity.relation()).fetch_optional(pool).await?;
    Ok(watermark.filter(|&micros| micros > 0)) // a rollup that never was has the smallest time there is
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
        .fetch_all(pool)
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
    query.bind(prefix).bind(prefix_end).bind(after).bind(limit).fetch_all(pool).await
}

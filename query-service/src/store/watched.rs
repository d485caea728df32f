//! The statements that many series are watched with.

use shared::db::Micros;

use super::Point;
use crate::anomaly::Moments;
use crate::read_pool::ReadPool;

/// What lies outside [lower, upper] is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WatchedBounds {
    pub(crate) series_id: i32,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

/// A point and its series, in the order of a page: time, series, value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WatchedPoint {
    pub(crate) point: Point,
    pub(crate) series_id: i32,
}

impl WatchedPoint {
    /// The cursor that every point from this time on comes after.
    pub(crate) fn before(timestamp: i64) -> Self {
        Self { point: Point { timestamp: timestamp - 1, value: f64::INFINITY }, series_id: i32::MAX }
    }
}

/// Points after the cursor and before `end` that lie outside the bounds of their series, at most `limit`. Points that are
/// equal in all count once where a page ends between them.
pub(crate) async fn watched(
    pool: &ReadPool,
    bounds: &[WatchedBounds],
    after: WatchedPoint,
    end: i64,
    limit: i64,
) -> sqlx::Result<Vec<WatchedPoint>> {
    let rows: Vec<(i32, Micros, f64)> = sqlx::query_as(include_str!("../sql/watched.sql"))
        .bind(bounds.iter().map(|bounds| bounds.series_id).collect::<Vec<_>>())
        .bind(bounds.iter().map(|bounds| bounds.lower).collect::<Vec<_>>())
        .bind(bounds.iter().map(|bounds| bounds.upper).collect::<Vec<_>>())
        .bind(Micros(after.point.timestamp))
        .bind(after.series_id)
        .bind(after.point.value)
        .bind(Micros(end))
        .bind(limit)
        .fetch_all(&pool.named("watched"))
        .await?;
    let point = |(series_id, timestamp, value): (i32, Micros, f64)| WatchedPoint {
        point: Point { timestamp: timestamp.0, value },
        series_id,
    };
    Ok(rows.into_iter().map(point).collect())
}

type MomentsRow = (i32, i64, f64, f64, f64, f64);

fn of_series((series_id, count, sum, min, max, variance): MomentsRow) -> (i32, Moments) {
    (series_id, Moments::new(count.unsigned_abs(), sum, min, max, variance))
}

/// What the minute rollup says of each series in [start, end), both whole minutes; series without points are left out.
pub(crate) async fn watched_baselines(
    pool: &ReadPool,
    series_ids: &[i32],
    (start, end): (i64, i64),
) -> sqlx::Result<Vec<(i32, Moments)>> {
    let rows: Vec<MomentsRow> = sqlx::query_as(include_str!("../sql/watched_baselines.sql"))
        .bind(series_ids)
        .bind(Micros(start))
        .bind(Micros(end))
        .fetch_all(&pool.named("watched_baselines"))
        .await?;
    Ok(rows.into_iter().map(of_series).collect())
}

/// The rows of the minute rollup in [start, end), in any order: series, minute, moments.
pub(crate) async fn watched_minutes(
    pool: &ReadPool,
    series_ids: &[i32],
    (start, end): (i64, i64),
) -> sqlx::Result<Vec<(i32, i64, Moments)>> {
    let rows: Vec<(i32, Micros, i64, f64, f64, f64, f64)> = sqlx::query_as(include_str!("../sql/watched_minutes.sql"))
        .bind(series_ids)
        .bind(Micros(start))
        .bind(Micros(end))
        .fetch_all(&pool.named("watched_minutes"))
        .await?;
    let minute = |(series_id, minute, count, sum, min, max, variance): (i32, Micros, i64, f64, f64, f64, f64)| {
        (series_id, minute.0, Moments::new(count.unsigned_abs(), sum, min, max, variance))
    };
    Ok(rows.into_iter().map(minute).collect())
}

/// What the hour rollup says of each series in these hours, all of them together; series without points are left out.
pub(crate) async fn watched_hours(
    pool: &ReadPool,
    series_ids: &[i32],
    (start, end): (i64, i64),
    hours: &[i64],
) -> sqlx::Result<Vec<(i32, Moments)>> {
    let rows: Vec<MomentsRow> = sqlx::query_as(include_str!("../sql/watched_hours.sql"))
        .bind(series_ids)
        .bind(Micros(start))
        .bind(Micros(end))
        .bind(hours.iter().copied().map(Micros).collect::<Vec<_>>())
        .fetch_all(&pool.named("watched_hours"))
        .await?;
    Ok(rows.into_iter().map(of_series).collect())
}

//! The statements of `WatchAnomalies`, over many series at once.

use shared::db::Micros;
use shared::granularity::Granularity;
use sqlx::AssertSqlSafe;

use super::{Point, SourceInterval};
use crate::anomaly::rules::Moments;
use crate::read_pool::ReadPool;

/// The bounds of a watched series. Points outside [lower, upper] are returned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WatchedBounds {
    pub(crate) series_id: i32,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

/// A point and its series. A page is ordered by time, series and value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct WatchedPoint {
    pub(crate) point: Point,
    pub(crate) series_id: i32,
}

impl WatchedPoint {
    /// Returns the cursor that precedes every point from this time on.
    pub(crate) fn before(timestamp: i64) -> Self {
        Self {
            point: Point { timestamp: timestamp - 1, value: f64::INFINITY },
            series_id: i32::MAX,
        }
    }
}

/// Returns the points after the cursor and before `end` that are outside the bounds of their
/// series, at most `limit`. If a page ends between identical points, the remaining ones are not
/// returned.
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

/// Returns the moments of each series over a part of the minutes. Series without points are left
/// out.
pub(crate) async fn watched_baselines(
    pool: &ReadPool,
    series_ids: &[i32],
    minutes: &SourceInterval,
) -> sqlx::Result<Vec<(i32, Moments)>> {
    let statement = include_str!("../sql/watched_baselines.sql")
        .replace("{relation}", &minutes.source.relation());
    let rows: Vec<MomentsRow> = sqlx::query_as(AssertSqlSafe(statement))
        .bind(series_ids)
        .bind(Micros(minutes.start))
        .bind(Micros(minutes.end))
        .fetch_all(&pool.named("watched_baselines"))
        .await?;
    Ok(rows.into_iter().map(of_series).collect())
}

/// Returns the rows of a part of the minutes in any order: series id, minute, moments.
pub(crate) async fn watched_minutes(
    pool: &ReadPool,
    series_ids: &[i32],
    minutes: &SourceInterval,
) -> sqlx::Result<Vec<(i32, i64, Moments)>> {
    let statement = include_str!("../sql/watched_minutes.sql")
        .replace("{relation}", &minutes.source.relation());
    let rows: Vec<(i32, Micros, i64, f64, f64, f64, f64)> =
        sqlx::query_as(AssertSqlSafe(statement))
            .bind(series_ids)
            .bind(Micros(minutes.start))
            .bind(Micros(minutes.end))
            .fetch_all(&pool.named("watched_minutes"))
            .await?;
    let minute = |(series_id, minute, count, sum, min, max, variance): (
        i32,
        Micros,
        i64,
        f64,
        f64,
        f64,
        f64,
    )| {
        (series_id, minute.0, Moments::new(count.unsigned_abs(), sum, min, max, variance))
    };
    Ok(rows.into_iter().map(minute).collect())
}

/// Returns the moments of each series over the given hours together. The part is of the hours, or
/// of minutes where the hours are not materialised. Series without points are left out.
pub(crate) async fn watched_hours(
    pool: &ReadPool,
    series_ids: &[i32],
    part: &SourceInterval,
    hours: &[i64],
) -> sqlx::Result<Vec<(i32, Moments)>> {
    let hour = match part.source.rows() {
        Granularity::Hour => "bucket",
        _ => "time_bucket(INTERVAL '1 hour', bucket)",
    };
    let statement = include_str!("../sql/watched_hours.sql")
        .replace("{relation}", &part.source.relation())
        .replace("{hour}", hour);
    let rows: Vec<MomentsRow> = sqlx::query_as(AssertSqlSafe(statement))
        .bind(series_ids)
        .bind(Micros(part.start))
        .bind(Micros(part.end))
        .bind(hours.iter().copied().map(Micros).collect::<Vec<_>>())
        .fetch_all(&pool.named("watched_hours"))
        .await?;
    Ok(rows.into_iter().map(of_series).collect())
}

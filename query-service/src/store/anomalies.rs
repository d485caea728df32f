//! The statements of anomaly detection.

use shared::db::Micros;
use sqlx::AssertSqlSafe;

use super::{Point, SourceInterval};
use crate::anomaly::rules::{HOURS_OF_WEEK, Moments};
use crate::read_pool::ReadPool;

/// Returns the moments of a series over a part of the minutes.
pub(crate) async fn baseline(
    pool: &ReadPool,
    series_id: i32,
    minutes: &SourceInterval,
) -> sqlx::Result<Moments> {
    let statement =
        include_str!("../sql/baseline.sql").replace("{relation}", &minutes.source.relation());
    let row: Option<(i64, f64, f64, f64, f64)> = sqlx::query_as(AssertSqlSafe(statement))
        .bind(series_id)
        .bind(Micros(minutes.start))
        .bind(Micros(minutes.end))
        .fetch_optional(&pool.named("baseline"))
        .await?;
    Ok(row.map_or(Moments::EMPTY, |(count, sum, min, max, variance)| {
        Moments::new(count.unsigned_abs(), sum, min, max, variance)
    }))
}

/// Returns the values of a series in [start, end), in any order, at most `limit`.
pub(crate) async fn baseline_values(
    pool: &ReadPool,
    series_id: i32,
    (start, end): (i64, i64),
    limit: i64,
) -> sqlx::Result<Vec<f64>> {
    sqlx::query_scalar(include_str!("../sql/baseline_values.sql"))
        .bind(series_id)
        .bind(Micros(start))
        .bind(Micros(end))
        .bind(limit)
        .fetch_all(&pool.named("baseline_values"))
        .await
}

/// Returns the moments of a series by hour of the week, over a part of the hours. The part may also
/// be of minutes where the hours are not materialised.
pub(crate) async fn baseline_hourly(
    pool: &ReadPool,
    series_id: i32,
    hours: &SourceInterval,
) -> sqlx::Result<[Moments; HOURS_OF_WEEK]> {
    let statement =
        include_str!("../sql/baseline_hourly.sql").replace("{relation}", &hours.source.relation());
    let rows: Vec<(i32, i64, f64, f64, f64, f64)> = sqlx::query_as(AssertSqlSafe(statement))
        .bind(series_id)
        .bind(Micros(hours.start))
        .bind(Micros(hours.end))
        .fetch_all(&pool.named("baseline_hourly"))
        .await?;
    let mut hours = [Moments::EMPTY; HOURS_OF_WEEK];
    for (hour_of_week, count, sum, min, max, variance) in rows {
        if let Some(hour) = usize::try_from(hour_of_week).ok().and_then(|at| hours.get_mut(at)) {
            *hour = Moments::new(count.unsigned_abs(), sum, min, max, variance);
        }
    }
    Ok(hours)
}

/// Returns the number of points of a series in [start, end).
pub(crate) async fn count(
    pool: &ReadPool,
    series_id: i32,
    (start, end): (i64, i64),
) -> sqlx::Result<u64> {
    let count: i64 = sqlx::query_scalar(include_str!("../sql/count.sql"))
        .bind(series_id)
        .bind(Micros(start))
        .bind(Micros(end))
        .fetch_one(&pool.named("count"))
        .await?;
    Ok(count.unsigned_abs())
}

/// Returns the number of points of a series in [start, end) by hour of the week. Hours without
/// points are left out.
pub(crate) async fn count_hourly(
    pool: &ReadPool,
    series_id: i32,
    (start, end): (i64, i64),
) -> sqlx::Result<Vec<(usize, u64)>> {
    let rows: Vec<(i32, i64)> = sqlx::query_as(include_str!("../sql/count_hourly.sql"))
        .bind(series_id)
        .bind(Micros(start))
        .bind(Micros(end))
        .fetch_all(&pool.named("count_hourly"))
        .await?;
    let counted =
        |(hour, count): (i32, i64)| Some((usize::try_from(hour).ok()?, count.unsigned_abs()));
    Ok(rows.into_iter().filter_map(counted).collect())
}

/// Returns the points of a series in [start, end) whose value is outside [lower, upper], earliest
/// first, at most `limit`.
pub(crate) async fn outside(
    pool: &ReadPool,
    series_id: i32,
    (start, end): (i64, i64),
    (lower, upper): (f64, f64),
    limit: i64,
) -> sqlx::Result<Vec<Point>> {
    // Not prepared: a cached plan may rely on a row order that a later flush broke. See
    // docs/decisions/0003.
    let rows: Vec<(Micros, f64)> = sqlx::query_as(include_str!("../sql/outside.sql"))
        .persistent(false)
        .bind(series_id)
        .bind(Micros(start))
        .bind(Micros(end))
        .bind(lower)
        .bind(upper)
        .bind(limit)
        .fetch_all(&pool.named("outside"))
        .await?;
    Ok(rows.into_iter().map(|(timestamp, value)| Point { timestamp: timestamp.0, value }).collect())
}

/// The bounds of one hour of the week: hour, lower, upper.
pub(crate) type HourBounds = (i32, f64, f64);

/// Returns the points of a series in [start, end) whose value is outside the bounds of their hour
/// of the week. They are ordered by time, at most `limit`. Leaves out points of hours without
/// bounds.
pub(crate) async fn outside_hourly(
    pool: &ReadPool,
    series_id: i32,
    (start, end): (i64, i64),
    bounds: &[HourBounds],
    limit: i64,
) -> sqlx::Result<Vec<Point>> {
    let column = |pick: fn(&HourBounds) -> f64| bounds.iter().map(pick).collect::<Vec<_>>();
    let rows: Vec<(Micros, f64)> = sqlx::query_as(include_str!("../sql/outside_hourly.sql"))
        .persistent(false) // for the same reason as in `outside`
        .bind(series_id)
        .bind(Micros(start))
        .bind(Micros(end))
        .bind(bounds.iter().map(|bounds| bounds.0).collect::<Vec<_>>())
        .bind(column(|bounds| bounds.1))
        .bind(column(|bounds| bounds.2))
        .bind(limit)
        .fetch_all(&pool.named("outside_hourly"))
        .await?;
    Ok(rows.into_iter().map(|(timestamp, value)| Point { timestamp: timestamp.0, value }).collect())
}

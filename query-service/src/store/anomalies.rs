//! The statements that anomalies are found with.

use shared::db::Micros;
use sqlx::AssertSqlSafe;

use super::Point;
use crate::anomaly::{HOURS_OF_WEEK, Moments};
use crate::read_pool::ReadPool;
use crate::watermarks::Stored;

/// What a part of the minutes says of a series.
pub(crate) async fn baseline(
    pool: &ReadPool,
    series_id: i32,
    minutes: &Stored,
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

/// Values of a series in [start, end), in any order, at most `limit`.
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

/// What a part of the hours, or of minutes where no hours are, says of each hour of the week.
pub(crate) async fn baseline_hourly(
    pool: &ReadPool,
    series_id: i32,
    hours: &Stored,
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

/// Number of points of a series in [start, end).
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

/// Number of points of a series in [start, end) by hour of the week, where there are any.
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

/// Points of a series in [start, end) whose value lies outside [lower, upper], the earliest first, at most `limit`.
pub(crate) async fn outside(
    pool: &ReadPool,
    series_id: i32,
    (start, end): (i64, i64),
    (lower, upper): (f64, f64),
    limit: i64,
) -> sqlx::Result<Vec<Point>> {
    let rows: Vec<(Micros, f64)> = sqlx::query_as(include_str!("../sql/outside.sql"))
        .persistent(false) // a plan that is kept may rely on an order that a later flush ended (docs/decisions/0003)
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

/// Points of a series in [start, end) whose value lies outside the bounds of their hour of the week, the earliest first, at
/// most `limit`. Points of an hour that has no bounds are not among them.
pub(crate) async fn outside_hourly(
    pool: &ReadPool,
    series_id: i32,
    (start, end): (i64, i64),
    bounds: &[HourBounds],
    limit: i64,
) -> sqlx::Result<Vec<Point>> {
    let column = |pick: fn(&HourBounds) -> f64| bounds.iter().map(pick).collect::<Vec<_>>();
    let rows: Vec<(Micros, f64)> = sqlx::query_as(include_str!("../sql/outside_hourly.sql"))
        .persistent(false) // for the reason that `outside` has
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

//! The statements that estimate how many points there are without reading them.

use shared::db::Micros;
use sqlx::AssertSqlSafe;

use crate::plan::{DAY, DayOfPoints};
use crate::read_pool::ReadPool;

/// Returns [start, end) of each chunk of points that is compacted.
pub(crate) async fn compacted_chunks(pool: &ReadPool) -> sqlx::Result<Vec<(i64, i64)>> {
    sqlx::query_as(include_str!("../sql/compacted_chunks.sql"))
        .fetch_all(&pool.named("compacted_chunks"))
        .await
}

/// Returns the number of points of some series in [start, end) by day, from `hours`, the table of
/// the hourly rollup. Days without points are left out.
pub(crate) async fn days_of_points(
    pool: &ReadPool,
    hours: &str,
    series: &[i32],
    (start, end): (i64, i64),
    compacted: &[(i64, i64)],
) -> sqlx::Result<Vec<DayOfPoints>> {
    let statement = include_str!("../sql/days_of_points.sql").replace("{relation}", hours);
    let rows: Vec<(Micros, i64, i64)> = sqlx::query_as(AssertSqlSafe(statement))
        .persistent(false)
        .bind(series)
        .bind(Micros(start))
        .bind(Micros(end))
        .fetch_all(&pool.named("days_of_points"))
        .await?;
    let day = |(start, points, minutes): (Micros, i64, i64)| {
        let covers = |&(from, to): &(i64, i64)| from <= start.0 && start.0 + DAY <= to;
        DayOfPoints {
            points: points.unsigned_abs(),
            minutes: minutes.unsigned_abs(),
            is_compacted: compacted.iter().any(covers),
        }
    };
    Ok(rows.into_iter().map(day).collect())
}

//! The statement over newest points.

use shared::db::Micros;

use super::Point;
use crate::read_pool::ReadPool;

/// 0001-01-01T00:00:00Z: no point is older.
const FIRST_TIME: i64 = -62_135_596_800_000_000;

/// The newest point since a time of each series that has one, with the position of the series in the list.
pub(crate) async fn latest(pool: &ReadPool, ids: &[i32], since: i64) -> sqlx::Result<Vec<(usize, Point)>> {
    let rows: Vec<(i64, Micros, f64)> = sqlx::query_as(include_str!("../sql/latest.sql"))
        .bind(ids)
        .bind(Micros(since.max(FIRST_TIME)))
        .fetch_all(&pool.named("latest"))
        .await?;
    let point = |(position, timestamp, value): (i64, Micros, f64)| {
        usize::try_from(position - 1).ok().map(|position| (position, Point { timestamp: timestamp.0, value }))
    };
    Ok(rows.into_iter().filter_map(point).collect())
}

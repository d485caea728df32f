//! The statement that reads the newest points.

use shared::db::Micros;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Point;
use crate::read_pool::ReadPool;

/// 0001-01-01T00:00:00Z, in microseconds since the Unix epoch. No point is older.
const FIRST_TIME: i64 = -62_135_596_800_000_000;

/// Returns the newest point at or after `since` of each series that has one, with the position of
/// the series in `ids`.
pub(crate) async fn latest(
    pool: &ReadPool,
    ids: &[i32],
    since: i64,
) -> sqlx::Result<Vec<(usize, Point)>> {
    let query = sqlx::query(include_str!("../sql/latest.sql"))
        .bind(ids)
        .bind(Micros(since.max(FIRST_TIME)));
    let point = |row: &PgRow| {
        let position = usize::try_from(row.try_get::<i64, _>(0)? - 1).unwrap_or(usize::MAX);
        Ok((position, Point { timestamp: row.try_get::<Micros, _>(1)?.0, value: row.try_get(2)? }))
    };
    pool.named("latest").decoded(query, point).await
}

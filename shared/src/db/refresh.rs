//! Refreshing a rollup over an interval.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::Micros;
use crate::granularity::Granularity;

/// Refreshes one rollup over [start, end), in microseconds since the Unix epoch. Does nothing for
/// raw points. Commits batch by batch and returns after the last commit. A rollup that is built on
/// another one needs that one refreshed first.
///
/// # Errors
/// The database did not respond, or the connection is in a transaction.
pub async fn refresh(
    connection: &mut PgConnection,
    rollup: Granularity,
    start: i64,
    end: i64,
) -> sqlx::Result<()> {
    let Some(batch) = buckets_per_batch(rollup) else { return Ok(()) };
    let statement = format!(
        "CALL refresh_continuous_aggregate('{}', $1, $2, \
         options => '{{\"buckets_per_batch\": {batch}}}')",
        rollup.relation()
    );
    sqlx::query(AssertSqlSafe(statement))
        .bind(Micros(start))
        .bind(Micros(end))
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns the batch size of a refresh in buckets, as in `migrations/0012_jobs.sql`: one day of
/// minutes, one month of hours or days. A refresh over 32 days of one series took 70 s without
/// batches and 3 s with them.
fn buckets_per_batch(rollup: Granularity) -> Option<u32> {
    match rollup {
        Granularity::Raw => None,
        Granularity::Minute => Some(1_440),
        Granularity::Hour => Some(24 * 31),
        Granularity::Day => Some(31),
    }
}

//! Bringing a rollup up to date over an interval.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::Micros;
use crate::granularity::Granularity;

/// Refreshes one rollup over [start, end), in microseconds since the Unix epoch; does nothing for raw points. Returns once the
/// result is committed. A rollup above another one needs that one refreshed first.
///
/// # Errors
/// The database did not answer, or the connection is in a transaction.
pub async fn refresh(connection: &mut PgConnection, rollup: Granularity, start: i64, end: i64) -> sqlx::Result<()> {
    if rollup == Granularity::Raw {
        return Ok(());
    }
    let statement = format!("CALL refresh_continuous_aggregate('{}', $1, $2)", rollup.relation());
    sqlx::query(AssertSqlSafe(statement)).bind(Micros(start)).bind(Micros(end)).execute(connection).await?;
    Ok(())
}

//! Writes a small flush in a single statement, which is its own transaction. This takes one round
//! trip to the database instead of five.

use sqlx::postgres::PgConnection;

use super::point_rows::{PointColumns, check_written};
use crate::flush::SortedRuns;
use crate::ledger::{LedgerStep, LedgerSteps, PAGE_BYTES, REMEMBERED_BATCHES};

/// Advances the ledger by these steps and inserts the points, both or neither. Returns whether it
/// did.
///
/// Writes nothing if a ledger row is locked by another transaction or is not at the start of its
/// step. The transaction of several statements then decides about each batch.
pub(super) async fn write(
    connection: &mut PgConnection,
    steps: &LedgerSteps<'_>,
    points: &SortedRuns<'_>,
) -> sqlx::Result<bool> {
    let producers: Vec<&str> = steps.keys().copied().collect();
    let column = |of: fn(&LedgerStep) -> i64| -> Vec<i64> { steps.values().map(of).collect() };
    let columns = PointColumns::of(points);
    let written = sqlx::query(include_str!("../sql/points_insert_single_statement.sql"))
        .bind(producers)
        .bind(column(|step| step.epoch))
        .bind(column(|step| step.before))
        .bind(column(|step| step.after))
        .bind(steps.values().map(|step| step.entries.as_slice()).collect::<Vec<_>>())
        .bind(columns.timestamps)
        .bind(columns.series_ids)
        .bind(columns.values)
        .bind(PAGE_BYTES)
        .bind(REMEMBERED_BATCHES)
        .execute(connection)
        .await?
        .rows_affected();
    if written == 0 {
        return Ok(false);
    }
    check_written(written, points)?;
    Ok(true)
}

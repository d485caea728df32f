//! The statements on the ledger.

use std::collections::BTreeSet;

use shared::telemetry::Statements;
use sqlx::Transaction;
use sqlx::postgres::Postgres;

use super::transaction::Attempt;
use crate::ledger::{Position, Positions};

/// Locks the ledger rows of the flush's producers in sorted order, after adding those that are new.
pub(super) async fn lock(
    statements: &Statements,
    transaction: &mut Transaction<'_, Postgres>,
    attempt: &Attempt<'_>,
) -> sqlx::Result<Positions> {
    let numberings = attempt.flush.iter().filter_map(|batch| batch.numbering.as_ref());
    let producers: BTreeSet<&str> =
        numberings.chain([attempt.own]).map(|numbering| numbering.producer_id.as_str()).collect();
    let producers: Vec<&str> = producers.into_iter().collect();
    let mut positions = statements.run("SELECT producers", select_for_update(transaction, &producers)).await?;
    let unknown: Vec<&str> = producers.iter().copied().filter(|id| !positions.contains_key(*id)).collect();
    if !unknown.is_empty() {
        let add = sqlx::query(include_str!("../sql/ledger_add.sql")).bind(unknown).execute(&mut **transaction);
        statements.run("INSERT producers", add).await?;
        positions = statements.run("SELECT producers", select_for_update(transaction, &producers)).await?;
    }
    Ok(positions)
}

async fn select_for_update(transaction: &mut Transaction<'_, Postgres>, producers: &[&str]) -> sqlx::Result<Positions> {
    let rows: Vec<(String, i64, i64)> =
        sqlx::query_as(include_str!("../sql/ledger_lock.sql")).bind(producers).fetch_all(&mut **transaction).await?;
    Ok(rows.into_iter().map(|(id, epoch, last_sequence)| (id, Position { epoch, last_sequence })).collect())
}

pub(super) async fn advance(transaction: &mut Transaction<'_, Postgres>, positions: &Positions) -> sqlx::Result<()> {
    let producers: Vec<&str> = positions.keys().map(String::as_str).collect();
    let epochs: Vec<i64> = positions.values().map(|position| position.epoch).collect();
    let sequences: Vec<i64> = positions.values().map(|position| position.last_sequence).collect();
    sqlx::query(include_str!("../sql/ledger_advance.sql"))
        .bind(producers)
        .bind(epochs)
        .bind(sequences)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

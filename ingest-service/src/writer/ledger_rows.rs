//! Statements that read, lock and advance ledger rows.

use std::collections::BTreeSet;

use shared::telemetry::Statements;
use sqlx::Transaction;
use sqlx::postgres::{PgConnection, Postgres};

use crate::ledger::{
    self, Ledger, PAGE_BYTES, ProducerPosition, ProducerPositions, REMEMBERED_BATCHES, Wanted,
};

/// Adding rows waits at most 1 s for a transaction that adds the same rows.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '1s'";
const NO_LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = 0";

/// Result of locking the ledger rows of a flush's producers.
pub(super) struct LockedRows {
    /// The ledger as read from the locked rows.
    pub(super) ledger: Ledger,
    /// Producers whose rows other transactions hold.
    pub(super) elsewhere: BTreeSet<String>,
}

/// Locks the ledger rows of `producers` in sorted order, after adding the missing ones. Does
/// not wait for rows locked by another transaction.
///
/// If another transaction is still adding some of the rows, this transaction has failed and must be
/// rolled back.
pub(super) async fn lock(
    statements: &Statements,
    transaction: &mut Transaction<'_, Postgres>,
    producers: &BTreeSet<&str>,
) -> sqlx::Result<LockedRows> {
    let producers: Vec<&str> = producers.iter().copied().collect();
    let mut rows =
        statements.run("SELECT producers", select_for_update(transaction, &producers)).await?;
    let new: Vec<&str> =
        producers.iter().copied().filter(|id| !rows.iter().any(|row| row.0 == **id)).collect();
    let mut elsewhere = BTreeSet::new();
    if !new.is_empty() && rows.iter().all(|row| row.3) {
        if statements.run("INSERT producers", add(transaction, &new)).await? {
            rows = statements
                .run("SELECT producers", select_for_update(transaction, &producers))
                .await?;
        } else {
            elsewhere = new.into_iter().map(str::to_owned).collect();
        }
    }
    let mut positions = ProducerPositions::new();
    for (producer_id, epoch, last_sequence, is_locked) in rows {
        if is_locked {
            positions.insert(producer_id, ProducerPosition { epoch, last_sequence });
        } else {
            elsewhere.insert(producer_id);
        }
    }
    Ok(LockedRows { ledger: Ledger::new(positions), elsewhere })
}

/// A ledger row: producer, epoch, last sequence, and whether this transaction has locked it.
type LedgerRow = (String, i64, i64, bool);

async fn select_for_update(
    transaction: &mut Transaction<'_, Postgres>,
    producers: &[&str],
) -> sqlx::Result<Vec<LedgerRow>> {
    sqlx::query_as(include_str!("../sql/ledger_lock.sql"))
        .bind(producers)
        .fetch_all(&mut **transaction)
        .await
}

/// Adds rows. Returns `false` if another transaction is adding one of them and does not end within
/// 1 s. This transaction has then failed and must be rolled back.
async fn add(
    transaction: &mut Transaction<'_, Postgres>,
    producers: &[&str],
) -> sqlx::Result<bool> {
    sqlx::raw_sql(LOCK_TIMEOUT).execute(&mut **transaction).await?;
    let added = sqlx::query(include_str!("../sql/ledger_add.sql"))
        .bind(producers)
        .execute(&mut **transaction)
        .await;
    match added {
        Ok(_) => {}
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    }
    sqlx::raw_sql(NO_LOCK_TIMEOUT).execute(&mut **transaction).await?;
    Ok(true)
}

/// Reads the wanted remembered batches into the ledger.
pub(crate) async fn read_remembered(
    connection: &mut PgConnection,
    wanted: &[Wanted],
    ledger: &mut Ledger,
) -> sqlx::Result<()> {
    let producers: Vec<&str> = wanted.iter().map(|wanted| wanted.producer_id.as_str()).collect();
    let epochs: Vec<i64> = wanted.iter().map(|wanted| wanted.epoch).collect();
    let sequences: Vec<i64> = wanted.iter().map(|wanted| wanted.first_sequence).collect();
    let pages: Vec<(String, Vec<u8>)> =
        sqlx::query_as(include_str!("../sql/ledger_remembered.sql"))
            .bind(producers)
            .bind(epochs)
            .bind(sequences)
            .fetch_all(connection)
            .await?;
    for (producer_id, entries) in pages {
        ledger.remember(&producer_id, ledger::decode(&entries).map_err(sqlx::Error::Protocol)?);
    }
    Ok(())
}

/// Writes the ledger's new positions and entries to the database.
pub(super) async fn advance(
    transaction: &mut Transaction<'_, Postgres>,
    ledger: &Ledger,
) -> sqlx::Result<()> {
    let mut producers = Vec::new();
    let mut epochs = Vec::new();
    let mut sequences = Vec::new();
    let mut all_entries = Vec::new();
    for (producer_id, position, entries) in ledger.moved() {
        producers.push(producer_id);
        epochs.push(position.epoch);
        sequences.push(position.last_sequence);
        all_entries.push(entries);
    }
    sqlx::query(include_str!("../sql/ledger_advance.sql"))
        .bind(producers)
        .bind(epochs)
        .bind(sequences)
        .bind(all_entries)
        .bind(PAGE_BYTES)
        .bind(REMEMBERED_BATCHES)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

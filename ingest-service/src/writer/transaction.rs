//! The statements of one attempt to write a flush.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::config::DatabaseConfig;
use shared::db::{self, Micros};
use shared::telemetry::Statements;
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{Connection as _, Transaction};

use crate::config::FlushConfig;
use crate::copy_encoder::{self, ROW_BYTES};
use crate::flush::{QueuedBatch, SortedRuns};
use crate::ledger::{self, Decision, Position, Positions};
use crate::metrics::{FlushShape, Metrics};
use crate::validate::Numbering;

use super::write_path::{Way, WritePath};

/// Encoded bytes are sent in pieces of this many rows: large enough to be cheap, small enough to overlap with the server's
/// work.
const PIECE_ROWS: usize = 256 * 1024 / ROW_BYTES;

/// One attempt: what to write, and what was decided about it.
pub(super) struct Attempt<'a> {
    pub(super) own: &'a Numbering,
    pub(super) flush: &'a [QueuedBatch],
    /// One for each batch, once the ledger is locked.
    pub(super) decisions: Vec<Decision>,
    /// What was written, once it was.
    pub(super) shape: FlushShape,
}

/// How an attempt ended well.
pub(super) enum Outcome {
    /// COMMIT returned.
    Committed,
    /// The ledger shows that an earlier attempt, whose COMMIT got no answer, was committed.
    CommittedBefore,
    /// The writer's own row is gone: the ledger forgot it while nothing was written.
    Forgotten,
}

/// How an attempt failed.
pub(super) enum Failure {
    /// Nothing was written.
    BeforeCommit(sqlx::Error),
    /// COMMIT was sent, or may have been: whether it took effect is unknown.
    InCommit(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::BeforeCommit(error)
    }
}

/// A connection to write through, made when needed.
pub(super) struct Session {
    database: DatabaseConfig,
    /// How long an attempt may take.
    timeout: Duration,
    connection: Option<PgConnection>,
    write_path: WritePath,
    buffer: Vec<u8>,
    metrics: Metrics,
}

impl Session {
    pub(super) fn new(database: DatabaseConfig, config: &FlushConfig, metrics: Metrics) -> Self {
        let write_path = WritePath::new(config.direct_compress);
        Self { database, timeout: config.write_timeout, connection: None, write_path, buffer: Vec::new(), metrics }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Runs an attempt in a transaction of its own, for a bounded time: a connection that was lost without a word would never
    /// answer. It goes with the attempt; nobody else drops either.
    pub(super) async fn run(&mut self, attempt: &mut Attempt<'_>) -> Result<Outcome, Failure> {
        let timeout = self.timeout;
        match tokio::time::timeout(timeout, self.try_once(attempt)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::InCommit(db::timed_out(timeout))), // COMMIT may have been sent
        }
    }

    async fn try_once(&mut self, attempt: &mut Attempt<'_>) -> Result<Outcome, Failure> {
        let mut connection = self.connect().await?;
        let metrics = self.metrics.clone();
        let statements = metrics.statements();
        let mut transaction = statements.run("BEGIN", connection.begin()).await?;
        let mut positions = lock_ledger(statements, &mut transaction, attempt).await?;
        let outcome = match ledger::decide(&mut positions, attempt.own) {
            Decision::Apply => {
                attempt.decide(&mut positions);
                let points = attempt.points();
                let way = self.write(&mut transaction, &points).await?;
                statements.run("UPDATE producers", advance_ledger(&mut transaction, &positions)).await?;
                attempt.shape = points.shape(way, metrics.watermark());
                statements.run("COMMIT", transaction.commit()).await.map_err(Failure::InCommit)?;
                Outcome::Committed
            }
            decision => {
                transaction.rollback().await?;
                if decision == Decision::Duplicate { Outcome::CommittedBefore } else { Outcome::Forgotten }
            }
        };
        self.connection = Some(connection); // only after success
        Ok(outcome)
    }

    /// Tries points out: writes them and takes that back.
    pub(super) async fn rehearse(&mut self, points: &SortedRuns<'_>) -> sqlx::Result<()> {
        db::within(self.timeout, self.write_and_take_back(points)).await
    }

    async fn write_and_take_back(&mut self, points: &SortedRuns<'_>) -> sqlx::Result<()> {
        let mut connection = self.connect().await?;
        let mut transaction = connection.begin().await?;
        self.write(&mut transaction, points).await?;
        transaction.rollback().await?;
        self.connection = Some(connection); // only after success
        Ok(())
    }

    async fn write(
        &mut self,
        transaction: &mut Transaction<'_, Postgres>,
        points: &SortedRuns<'_>,
    ) -> sqlx::Result<Way> {
        let (way, statements) = (self.write_path.of(points), self.metrics.statements());
        if way == Way::CopyCompressed {
            let statement = "SET LOCAL timescaledb.enable_direct_compress_copy = on";
            statements.run("SET LOCAL", sqlx::raw_sql(statement).execute(&mut **transaction)).await?;
        }
        match way {
            Way::Nothing => {}
            Way::Insert => statements.run("INSERT points", insert(transaction, points)).await?,
            Way::Copy | Way::CopyCompressed => {
                statements.run("COPY points", copy(transaction, points, &mut self.buffer)).await?;
            }
        }
        Ok(way)
    }

    async fn connect(&mut self) -> sqlx::Result<PgConnection> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let mut connection = db::connect(&self.database, "tidegauge writer").await?;
        self.write_path.look_at(&mut connection).await?;
        Ok(connection)
    }
}

impl SortedRuns<'_> {
    /// What was written, for the metrics.
    fn shape(&self, way: Way, watermark: i64) -> FlushShape {
        FlushShape { write_path: way.name(), rows: self.rows, series: self.series, late: self.before(watermark) }
    }
}

impl<'a> Attempt<'a> {
    fn decide(&mut self, positions: &mut Positions) {
        let decisions = self.flush.iter().map(|batch| match &batch.numbering {
            Some(numbering) => ledger::decide(positions, numbering),
            None => Decision::Apply,
        });
        self.decisions = decisions.collect();
    }

    /// The points of the batches that are to be applied.
    fn points(&self) -> SortedRuns<'a> {
        let applied = self.flush.iter().zip(&self.decisions).filter(|(_, decision)| **decision == Decision::Apply);
        SortedRuns::gather(applied.map(|(batch, _)| batch))
    }
}

/// Locks the ledger rows of the flush's producers in sorted order, after adding those that are new.
async fn lock_ledger(
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

async fn advance_ledger(transaction: &mut Transaction<'_, Postgres>, positions: &Positions) -> sqlx::Result<()> {
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

async fn insert(transaction: &mut Transaction<'_, Postgres>, points: &SortedRuns<'_>) -> sqlx::Result<()> {
    let runs = || points.runs.iter();
    let timestamps: Vec<Micros> = runs().flat_map(|run| run.timestamps).map(|&micros| Micros(micros)).collect();
    let series_ids: Vec<i32> = runs().flat_map(|run| run.timestamps.iter().map(|_| run.series_id)).collect();
    let values: Vec<f64> = runs().flat_map(|run| run.values).copied().collect();
    let written = sqlx::query(include_str!("../sql/points_insert.sql"))
        .bind(timestamps)
        .bind(series_ids)
        .bind(values)
        .execute(&mut **transaction)
        .await?
        .rows_affected();
    check_written(written, points)
}

async fn copy(
    transaction: &mut Transaction<'_, Postgres>,
    points: &SortedRuns<'_>,
    buffer: &mut Vec<u8>,
) -> sqlx::Result<()> {
    let mut copy = transaction.copy_in_raw(copy_encoder::STATEMENT).await?;
    buffer.clear();
    buffer.extend_from_slice(copy_encoder::HEADER);
    for run in &points.runs {
        for (timestamps, values) in run.timestamps.chunks(PIECE_ROWS).zip(run.values.chunks(PIECE_ROWS)) {
            copy_encoder::encode(run.series_id, timestamps, values, buffer);
            if buffer.len() >= PIECE_ROWS * ROW_BYTES {
                copy.send(buffer.as_slice()).await?;
                buffer.clear();
            }
        }
    }
    buffer.extend_from_slice(&copy_encoder::TRAILER);
    copy.send(buffer.as_slice()).await?;
    check_written(copy.finish().await?, points)
}

fn check_written(written: u64, points: &SortedRuns<'_>) -> sqlx::Result<()> {
    if written == points.rows as u64 {
        return Ok(());
    }
    Err(sqlx::Error::Protocol(format!("the database took {written} of {} rows", points.rows)))
}

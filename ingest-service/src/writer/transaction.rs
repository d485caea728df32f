//! The statements of one attempt to write a flush.

use std::time::Duration;

use shared::config::DatabaseConfig;
use shared::db;
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{Connection as _, Transaction};

use crate::config::FlushConfig;
use crate::flush::{QueuedBatch, SortedRuns};
use crate::ledger::{self, Decision, Positions};
use crate::metrics::{FlushShape, Metrics};
use crate::validate::Numbering;

use super::write_path::{Way, WritePath};
use super::{at_once, ledger_rows, point_rows};

/// One attempt: what to write, and what was decided about it.
pub(super) struct Attempt<'a> {
    pub(super) own: &'a Numbering,
    pub(super) flush: &'a [QueuedBatch],
    /// Nothing of it was tried before.
    pub(super) first: bool,
    /// One for each batch, once the ledger is locked or is to be found as expected.
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
        let points = SortedRuns::gather(attempt.flush);
        let outcome = if self.at_once(&mut connection, attempt, &points).await.map_err(Failure::InCommit)? {
            Outcome::Committed
        } else {
            self.in_transaction(&mut connection, attempt, points).await?
        };
        self.connection = Some(connection); // only after success
        Ok(outcome)
    }

    /// Writes a small flush by a statement that is a transaction of its own, if each batch is the next one of its producer; if
    /// not, nothing. Not what may have been written before: what was decided then must not be forgotten.
    async fn at_once(
        &mut self,
        connection: &mut PgConnection,
        attempt: &mut Attempt<'_>,
        points: &SortedRuns<'_>,
    ) -> sqlx::Result<bool> {
        let way = self.write_path.of(points);
        if !attempt.first || way != Way::Insert {
            return Ok(false);
        }
        let numberings = attempt.flush.iter().filter_map(|batch| batch.numbering.as_ref());
        let Some(steps) = ledger::steps(numberings.chain([attempt.own])) else { return Ok(false) };
        attempt.decisions = vec![Decision::Apply; attempt.flush.len()];
        attempt.shape = points.shape(way, self.metrics.watermark());
        let statement = at_once::write(connection, &steps, points);
        self.metrics.statements().run("UPDATE producers INSERT points", statement).await
    }

    /// Writes what the ledger says is to be applied; `points` are those of all batches.
    async fn in_transaction(
        &mut self,
        connection: &mut PgConnection,
        attempt: &mut Attempt<'_>,
        mut points: SortedRuns<'_>,
    ) -> Result<Outcome, Failure> {
        let metrics = self.metrics.clone();
        let statements = metrics.statements();
        let mut transaction = statements.run("BEGIN", connection.begin()).await?;
        let mut positions = ledger_rows::lock(statements, &mut transaction, attempt).await?;
        let decision = ledger::decide(&mut positions, attempt.own);
        if decision != Decision::Apply {
            transaction.rollback().await?;
            return Ok(if decision == Decision::Duplicate { Outcome::CommittedBefore } else { Outcome::Forgotten });
        }
        attempt.decide(&mut positions);
        if attempt.decisions.iter().any(|decision| *decision != Decision::Apply) {
            points = SortedRuns::gather(attempt.applied());
        }
        let way = self.write(&mut transaction, &points).await?;
        statements.run("UPDATE producers", ledger_rows::advance(&mut transaction, &positions)).await?;
        attempt.shape = points.shape(way, metrics.watermark());
        statements.run("COMMIT", transaction.commit()).await.map_err(Failure::InCommit)?;
        Ok(Outcome::Committed)
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
            Way::Insert => statements.run("INSERT points", point_rows::insert(transaction, points)).await?,
            Way::Copy | Way::CopyCompressed => {
                statements.run("COPY points", point_rows::copy(transaction, points, &mut self.buffer)).await?;
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

    fn applied(&self) -> impl Iterator<Item = &'a QueuedBatch> {
        self.flush
            .iter()
            .zip(&self.decisions)
            .filter(|(_, decision)| **decision == Decision::Apply)
            .map(|(batch, _)| batch)
    }
}

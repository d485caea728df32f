//! Runs one attempt to write a flush.

use std::time::Duration;

use shared::config::DatabaseConfig;
use shared::{db, time};
use sqlx::postgres::{PgConnection, Postgres};
use sqlx::{Connection as _, Transaction};

use crate::config::FlushConfig;
use crate::flush::SortedRuns;
use crate::ledger::{self, Decision, OwnDecision};
use crate::metrics::{FlushShape, Metrics};

use super::attempt::{Attempt, AttemptFailure, AttemptOutcome};
use super::ledger_rows::LockedRows;
use super::write_path::{DIRECT_COMPRESS_SETTINGS, WritePath, WritePathChooser};
use super::{ledger_rows, point_rows, single_statement};

/// Name of a writer's connection in `pg_stat_activity`.
const APPLICATION_NAME: &str = "tidegauge writer";
/// Seconds after which a writer that holds a transaction open and waits for its client counts as
/// stalled. Other writers may then terminate its session.
const STALLED_SECONDS: f64 = 5.0;

/// Error message while the server still runs an earlier attempt whose connection is lost.
const OWN_ROW_HELD: &str = "an earlier attempt still holds the writer's ledger row";

/// Connection of a writer, opened on demand.
pub(super) struct WriterSession {
    database: DatabaseConfig,
    /// Timeout of one attempt.
    timeout: Duration,
    connection: Option<PgConnection>,
    write_path: WritePathChooser,
    buffer: Vec<u8>,
    metrics: Metrics,
}

impl WriterSession {
    pub(super) fn new(database: DatabaseConfig, config: &FlushConfig, metrics: Metrics) -> Self {
        let write_path = WritePathChooser::new(config.direct_compress);
        Self {
            database,
            timeout: config.write_timeout,
            connection: None,
            write_path,
            buffer: Vec::new(),
            metrics,
        }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Runs an attempt in its own transaction. The timeout covers connections that were lost
    /// silently and would never answer. On a timeout the connection is dropped with the attempt.
    pub(super) async fn run(
        &mut self,
        attempt: &mut Attempt<'_>,
    ) -> Result<AttemptOutcome, AttemptFailure> {
        let timeout = self.timeout;
        match tokio::time::timeout(timeout, self.try_once(attempt)).await {
            Ok(outcome) => outcome,
            // COMMIT may have been sent.
            Err(_) => Err(AttemptFailure::InCommit(db::timed_out(timeout))),
        }
    }

    async fn try_once(
        &mut self,
        attempt: &mut Attempt<'_>,
    ) -> Result<AttemptOutcome, AttemptFailure> {
        let mut connection = self.connect().await?;
        let points = SortedRuns::gather(attempt.flush);
        let outcome = if self
            .write_single_statement(&mut connection, attempt, &points)
            .await
            .map_err(AttemptFailure::InCommit)?
        {
            AttemptOutcome::Committed
        } else {
            self.write_in_transaction(&mut connection, attempt, points).await?
        };
        self.connection = Some(connection); // only after success
        Ok(outcome)
    }

    /// Writes a small flush in a single statement if each batch is the next one of its producer.
    /// Returns whether it was written; if not, nothing was.
    ///
    /// Only the first attempt is written this way. A later one may repeat a flush that is already
    /// committed, and must keep the decisions made then.
    async fn write_single_statement(
        &mut self,
        connection: &mut PgConnection,
        attempt: &mut Attempt<'_>,
        points: &SortedRuns<'_>,
    ) -> sqlx::Result<bool> {
        let path = self.write_path.choose(points);
        if !attempt.first || path != WritePath::Insert {
            return Ok(false);
        }
        let committed_at = time::now_micros();
        let answers: Vec<_> =
            attempt.flush.iter().map(|batch| batch.answer(committed_at)).collect();
        let numbered = attempt.flush.iter().zip(&answers);
        let numbered =
            numbered.filter_map(|(batch, answer)| Some((batch.numbering.as_ref()?, Some(answer))));
        let Some(steps) = ledger::steps(numbered.chain([(attempt.own, None)])) else {
            return Ok(false);
        };
        attempt.decisions =
            answers.into_iter().map(|answer| Decision::Apply(Box::new(answer))).collect();
        attempt.shape = points.shape(path, self.metrics.watermark());
        let statement = single_statement::write(connection, &steps, points);
        self.metrics.statements().run("UPDATE producers INSERT points", statement).await
    }

    /// Locks the ledger, decides about each batch, and writes those that are applied. `points` are
    /// those of all batches.
    async fn write_in_transaction(
        &mut self,
        connection: &mut PgConnection,
        attempt: &mut Attempt<'_>,
        mut points: SortedRuns<'_>,
    ) -> Result<AttemptOutcome, AttemptFailure> {
        let metrics = self.metrics.clone();
        let statements = metrics.statements();
        attempt.decisions.clear();
        let mut transaction = statements.run("BEGIN", connection.begin()).await?;
        let LockedRows { mut ledger, elsewhere } =
            ledger_rows::lock(statements, &mut transaction, &attempt.producers()).await?;
        if elsewhere.contains(&attempt.own.producer_id) {
            return Err(AttemptFailure::BeforeCommit(sqlx::Error::Protocol(
                OWN_ROW_HELD.to_owned(),
            )));
        }
        let own = ledger.decide_own(attempt.own);
        if own == OwnDecision::Write && !elsewhere.is_empty() {
            transaction.rollback().await?;
            return Ok(AttemptOutcome::Locked(elsewhere));
        }
        let wanted = ledger.wanted(attempt.numberings());
        if !wanted.is_empty() {
            let read = ledger_rows::read_remembered(&mut transaction, &wanted, &mut ledger);
            statements.run("SELECT producer_batches", read).await?;
        }
        if own != OwnDecision::Write {
            transaction.rollback().await?;
            return Ok(match own {
                OwnDecision::CommittedBefore => {
                    AttemptOutcome::CommittedBefore(attempt.recall(&ledger))
                }
                _ => AttemptOutcome::Forgotten,
            });
        }
        attempt.decide(&mut ledger);
        if attempt.decisions.iter().any(|decision| !matches!(decision, Decision::Apply(_))) {
            points = SortedRuns::gather(attempt.applied());
        }
        let path = self.write(&mut transaction, &points).await?;
        statements.run("UPDATE producers", ledger_rows::advance(&mut transaction, &ledger)).await?;
        attempt.shape = points.shape(path, metrics.watermark());
        statements.run("COMMIT", transaction.commit()).await.map_err(AttemptFailure::InCommit)?;
        Ok(AttemptOutcome::Committed)
    }

    /// Terminates the sessions of stalled writers. Returns their number.
    pub(super) async fn end_stalled(&mut self) -> sqlx::Result<i64> {
        let mut connection = self.connect().await?;
        let statement = sqlx::query_scalar(include_str!("../sql/ledger_stalled.sql"))
            .bind(STALLED_SECONDS)
            .bind(APPLICATION_NAME)
            .fetch_one(&mut connection);
        let ended = db::within(
            self.timeout,
            self.metrics.statements().run("SELECT pg_terminate_backend", statement),
        )
        .await?;
        self.connection = Some(connection); // only after success
        Ok(ended)
    }

    /// Writes points and rolls back, to find out whether the database refuses them.
    pub(super) async fn try_write(&mut self, points: &SortedRuns<'_>) -> sqlx::Result<()> {
        db::within(self.timeout, self.write_and_roll_back(points)).await
    }

    async fn write_and_roll_back(&mut self, points: &SortedRuns<'_>) -> sqlx::Result<()> {
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
    ) -> sqlx::Result<WritePath> {
        let path = self.write_path.choose(points);
        let statements = self.metrics.statements();
        if path == WritePath::CopyCompressed {
            let set = sqlx::raw_sql(DIRECT_COMPRESS_SETTINGS);
            statements.run("SET LOCAL", set.execute(&mut **transaction)).await?;
        }
        match path {
            WritePath::Nothing => {}
            WritePath::Insert => {
                statements.run("INSERT points", point_rows::insert(transaction, points)).await?
            }
            WritePath::Copy | WritePath::CopyCompressed => {
                statements
                    .run("COPY points", point_rows::copy(transaction, points, &mut self.buffer))
                    .await?;
            }
        }
        Ok(path)
    }

    async fn connect(&mut self) -> sqlx::Result<PgConnection> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let mut connection = db::connect(&self.database, APPLICATION_NAME).await?;
        self.write_path.query_support(&mut connection).await?;
        Ok(connection)
    }
}

impl SortedRuns<'_> {
    /// Returns the figures of a flush for the metrics.
    fn shape(&self, path: WritePath, watermark: i64) -> FlushShape {
        FlushShape {
            write_path: path.name(),
            rows: self.rows,
            series: self.series,
            late: self.before(watermark),
        }
    }
}

//! Writes a flush in one transaction: locks the ledger, selects the batches that advance it, writes
//! their points, commits, and acknowledges.
//!
//! Only this module writes points. It drops its connection after any error, because a broken COPY
//! or COMMIT leaves it in an unknown state. The writer's own ledger row, which every flush
//! advances, shows whether a broken COMMIT took effect.
//!
//! A flush does not wait for ledger rows locked by another transaction. It returns the batches of
//! these producers and writes the others.
//!
//! One attempt (`writer/transaction.rs`):
//!
//! 1. `ledger_rows::lock` locks the ledger rows of the producers and of the writer, in sorted
//!    order.
//! 2. `ledger::decide` decides for each batch. `ledger_rows::read_remembered` reads the hash and
//!    the first answer of batches that were applied before.
//! 3. `flush` merges the runs of the batches to apply, by series and time, without moving points.
//! 4. `write_path` chooses INSERT (below 10,000 points) or COPY, and direct compress if the server
//!    supports it and there are at least 3 points per series.
//! 5. `point_rows` sends the points. COPY data goes in pieces of about 256 KiB.
//! 6. `ledger_rows::advance` stores the new positions, hashes and answers. COMMIT follows.
//!
//! If each batch of a small flush is the next one of its producer, `writer/single_statement.rs`
//! writes it as a single statement first. That statement writes nothing if the ledger differs; the
//! steps above follow.

mod attempt;
mod ledger_rows;
mod point_rows;
mod refused_points;
mod single_statement;
mod transaction;
mod write_path;

use std::collections::BTreeSet;

use shared::config::DatabaseConfig;
use shared::proto::v1::BatchResult;
use tokio::time::Instant;
use tracing::Span;

use crate::config::FlushConfig;
use crate::error::{BatchError, SequenceError};
use crate::flush::QueuedBatch;
use crate::ledger::Decision;
use crate::metrics::{FlushShape, Metrics, Operation};
use crate::numbering::{Numbering, OWN_PRODUCERS};
use crate::refusals::Refusals;
use crate::retry::Retries;
use attempt::{Attempt, AttemptFailure, AttemptOutcome};
pub(crate) use ledger_rows::read_remembered;
use transaction::WriterSession;

/// Writer of flushes, one after the other.
pub(crate) struct Writer {
    session: WriterSession,
    /// Position of the writer's own ledger row, which every flush advances by one.
    own: Numbering,
    metrics: Metrics,
    refusals: Refusals,
}

impl Writer {
    pub(crate) fn new(database: DatabaseConfig, config: &FlushConfig, metrics: Metrics) -> Self {
        let session = WriterSession::new(database, config, metrics.clone());
        Self { session, own: own_numbering(), refusals: Refusals::new(metrics.clone()), metrics }
    }

    /// Writes a flush and sends each batch its outcome. Retries until the database has accepted or
    /// refused it.
    ///
    /// A refused flush is halved until the faulty batches are isolated. A faulty batch is searched
    /// for its faulty points in the same way. All other points are stored.
    ///
    /// Returns, in order, the batches that were not tried because other transactions hold the
    /// ledger rows of their producers.
    pub(crate) async fn write(&mut self, flush: Vec<QueuedBatch>) -> Vec<QueuedBatch> {
        let mut set_aside = SetAside::default();
        let mut parts = vec![flush]; // a stack: the next part is the last
        while let Some(part) = parts.pop() {
            let mut part = set_aside.filter(part);
            if part.is_empty() {
                continue;
            }
            match self.commit(&part).await {
                Ok(decisions) => self.settle(part, decisions),
                Err(NotWritten::Locked(producers)) => {
                    set_aside.producers.extend(producers);
                    parts.push(part);
                    self.end_stalled_writers().await;
                }
                Err(NotWritten::Refused) if part.len() > 1 => {
                    let later = part.split_off(part.len() / 2);
                    parts.extend([later, part]);
                }
                Err(NotWritten::Refused) => {
                    self.write_without_refused_points(part, &mut set_aside).await
                }
            }
        }
        set_aside.batches
    }

    /// Writes a refused flush of one batch without the points that the database refuses.
    async fn write_without_refused_points(
        &mut self,
        mut flush: Vec<QueuedBatch>,
        set_aside: &mut SetAside,
    ) {
        let Some(batch) = flush.first_mut() else { return };
        let refused = refused_points::find(&mut self.session, batch).await;
        let rejections = refused_points::remove(batch, &refused);
        self.refusals.points(&rejections);
        batch.rejections.merge(rejections);
        match self.commit(&flush).await {
            Ok(decisions) => self.settle(flush, decisions),
            Err(NotWritten::Locked(producers)) => {
                set_aside.producers.extend(producers);
                set_aside.batches.extend(flush);
            }
            Err(NotWritten::Refused) => {
                flush
                    .into_iter()
                    .for_each(|batch| self.send_outcome(batch, Err(BatchError::Refused)));
            }
        }
    }

    /// Writes a flush and returns the decision about each batch after COMMIT.
    async fn commit(&mut self, flush: &[QueuedBatch]) -> Result<Vec<Decision>, NotWritten> {
        self.own.sequence += 1;
        let mut retries = Retries::of(Operation::Flush, &self.metrics);
        let mut unknown = None; // decisions of an attempt whose COMMIT has an unknown outcome
        let began = Instant::now();
        loop {
            let first = retries.is_first_attempt();
            let decisions = Vec::new();
            let mut attempt =
                Attempt { own: &self.own, flush, first, decisions, shape: FlushShape::default() };
            let error = match self.session.run(&mut attempt).await {
                Ok(AttemptOutcome::Committed) => {
                    self.count(began, flush, attempt.shape);
                    return Ok(attempt.decisions);
                }
                Ok(AttemptOutcome::CommittedBefore(recalled)) => {
                    let (decisions, shape) = decided_before(unknown, recalled);
                    self.count(began, flush, shape);
                    return Ok(decisions);
                }
                Ok(AttemptOutcome::Forgotten) => {
                    self.own = Numbering { sequence: 1, ..own_numbering() };
                    continue;
                }
                Ok(AttemptOutcome::Locked(producers)) if unknown.is_none() => {
                    self.own.sequence -= 1; // nothing was written under it
                    return Err(NotWritten::Locked(producers));
                }
                Ok(AttemptOutcome::Locked(_)) => {
                    sqlx::Error::Protocol("ledger rows of the flush are locked".to_owned())
                }
                Err(AttemptFailure::BeforeCommit(error)) => error,
                Err(AttemptFailure::InCommit(error)) => {
                    if !attempt.decisions.is_empty() {
                        unknown = Some((attempt.decisions, attempt.shape));
                    }
                    error
                }
            };
            if let Err(error) = retries.wait_after(error).await {
                tracing::error!(%error, batches = flush.len(), "the database refuses a flush");
                self.own.sequence -= 1; // it was not committed, so the number is free
                return Err(NotWritten::Refused);
            }
        }
    }

    fn count(&self, began: Instant, flush: &[QueuedBatch], shape: FlushShape) {
        self.metrics.flushed(began.elapsed(), flush.len(), shape);
        Span::current()
            .record("tidegauge.write_path", shape.write_path)
            .record("tidegauge.rows", shape.rows);
    }

    /// Releases ledger rows held by a stalled service, so that its producers can continue through
    /// another one.
    async fn end_stalled_writers(&mut self) {
        match self.session.end_stalled().await {
            Ok(0) => {}
            Ok(ended) => tracing::warn!(
                ended,
                "terminated database sessions of stalled writers that held ledger rows"
            ),
            Err(error) => {
                tracing::warn!(%error, "cannot terminate the sessions of stalled writers")
            }
        }
    }

    /// Sends each batch its outcome.
    fn settle(&self, flush: Vec<QueuedBatch>, decisions: Vec<Decision>) {
        for (batch, decision) in flush.into_iter().zip(decisions) {
            let outcome = match decision {
                Decision::Apply(result) | Decision::Duplicate(result) => Ok(*result),
                Decision::Reused { expected, current } => {
                    Err(BatchError::Reused(sequence_error(&batch, expected, Some(current))))
                }
                Decision::TooOld { expected, current } => {
                    Err(BatchError::TooOld(sequence_error(&batch, expected, Some(current))))
                }
                Decision::Gap { expected, current } => {
                    Err(BatchError::Gap(sequence_error(&batch, expected, current)))
                }
                Decision::Fenced { current } => {
                    Err(BatchError::Fenced(sequence_error(&batch, 1, Some(current))))
                }
            };
            self.send_outcome(batch, outcome);
        }
    }

    fn send_outcome(&self, batch: QueuedBatch, outcome: Result<BatchResult, BatchError>) {
        match &outcome {
            Ok(result) if result.is_duplicate => self.metrics.duplicate(result.accepted_count),
            Ok(result) => self.metrics.accepted(result.accepted_count),
            Err(error) => self.refusals.batch(error),
        }
        let _ = batch.outcome.send(outcome); // fails if the call is gone; its points are stored
        drop((batch.permit, batch.bytes));
    }
}

/// Batches that are not tried because other transactions hold the ledger rows of their producers.
#[derive(Default)]
struct SetAside {
    producers: BTreeSet<String>,
    batches: Vec<QueuedBatch>,
}

impl SetAside {
    /// Removes the batches of held producers from a flush, so that no batch is written before an
    /// earlier one of its producer.
    fn filter(&mut self, flush: Vec<QueuedBatch>) -> Vec<QueuedBatch> {
        if self.producers.is_empty() {
            return flush;
        }
        let is_held =
            |batch: &QueuedBatch| batch.producer_id().is_some_and(|id| self.producers.contains(id));
        let (held, others): (Vec<_>, Vec<_>) = flush.into_iter().partition(is_held);
        self.batches.extend(held);
        others
    }
}

/// Returns the decisions of the attempt that turned out to be committed, with the answers that the
/// ledger remembers.
///
/// Such an attempt exists, because only this writer advances its own row. If it is missing
/// nevertheless, nothing is acknowledged and clients resend.
fn decided_before(
    unknown: Option<(Vec<Decision>, FlushShape)>,
    recalled: Vec<Option<BatchResult>>,
) -> (Vec<Decision>, FlushShape) {
    let (mut decisions, shape) = unknown.unwrap_or_else(|| {
        tracing::error!("the ledger shows a flush as applied, but this writer has no record of it");
        Default::default()
    });
    for (decision, recalled) in decisions.iter_mut().zip(recalled) {
        if let (Decision::Apply(answer), Some(first)) = (decision, recalled) {
            **answer = first;
        }
    }
    (decisions, shape)
}

/// Reason why a flush was not written.
enum NotWritten {
    /// The database refuses it permanently.
    Refused,
    /// Producers whose ledger rows other transactions hold.
    Locked(BTreeSet<String>),
}

/// Returns the numbering of a new ledger row that only this writer uses.
fn own_numbering() -> Numbering {
    let producer_id = format!("{OWN_PRODUCERS}writer/{:032x}", rand::random::<u128>());
    Numbering { producer_id, epoch: 0, sequence: 0, content_hash: 0 }
}

/// Describes a batch whose number contradicts the ledger. Epochs and sequences are never negative:
/// they were converted from unsigned numbers.
fn sequence_error(batch: &QueuedBatch, expected: i64, current: Option<i64>) -> SequenceError {
    let numbering = batch.numbering.as_ref();
    SequenceError {
        producer_id: numbering.map(|numbering| numbering.producer_id.clone()).unwrap_or_default(),
        epoch: numbering.map_or(0, |numbering| numbering.epoch.unsigned_abs()),
        sequence: numbering.map_or(0, |numbering| numbering.sequence.unsigned_abs()),
        expected_sequence: expected.unsigned_abs(),
        current_epoch: current.map(i64::unsigned_abs),
    }
}

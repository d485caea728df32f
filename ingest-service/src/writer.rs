//! One flush, one transaction: lock the ledger, keep the batches that move it on, write their rows, COMMIT, acknowledge.
//!
//! Only this module writes points. Its connection is dropped after any error, for a broken COPY or COMMIT leaves it in an
//! unknown state; what a broken COMMIT did is found out through the ledger row that every flush of this writer moves.

mod at_once;
mod ledger_rows;
mod point_rows;
mod refused_points;
mod transaction;
mod write_path;

use shared::config::DatabaseConfig;
use shared::time;
use tokio::time::Instant;
use tracing::Span;

use crate::ack::Stored;
use crate::config::FlushConfig;
use crate::error::BatchError;
use crate::flush::QueuedBatch;
use crate::ledger::Decision;
use crate::metrics::{FlushShape, Metrics, Operation};
use crate::refusals::Refusals;
use crate::retry::{Backoff, Verdict, verdict};
use crate::validate::{Numbering, OWN_PRODUCERS, Rejections};
use transaction::{Attempt, Session};

/// Writes flushes, one after the other.
pub(crate) struct Writer {
    session: Session,
    /// The writer's own row of the ledger: advanced by one with every flush.
    own: Numbering,
    metrics: Metrics,
    refusals: Refusals,
}

impl Writer {
    pub(crate) fn new(database: DatabaseConfig, config: &FlushConfig, metrics: Metrics) -> Self {
        let session = Session::new(database, config, metrics.clone());
        Self { session, own: own_numbering(), refusals: Refusals::new(metrics.clone()), metrics }
    }

    /// Writes a flush and tells each batch its outcome. Tries until the database has taken or refused it. A flush that is
    /// refused is halved until the batches at fault stand alone, and these until the points at fault do: nothing else is lost.
    pub(crate) async fn write(&mut self, flush: Vec<QueuedBatch>) {
        let mut parts = vec![flush]; // the next one last
        while let Some(mut part) = parts.pop() {
            match self.commit(&part).await {
                Ok(decisions) => self.settle(part, &decisions, Rejections::default()),
                Err(Refused) if part.len() > 1 => {
                    let later = part.split_off(part.len() / 2);
                    parts.extend([later, part]);
                }
                Err(Refused) => self.write_without_refused_points(part).await,
            }
        }
    }

    /// Writes the one batch of a refused flush without the points that the database refuses.
    async fn write_without_refused_points(&mut self, mut flush: Vec<QueuedBatch>) {
        let Some(batch) = flush.first_mut() else { return };
        let refused = refused_points::find(&mut self.session, batch).await;
        let rejections = refused_points::take_out(batch, &refused);
        match self.commit(&flush).await {
            Ok(decisions) => self.settle(flush, &decisions, rejections),
            Err(Refused) => flush.into_iter().for_each(|batch| self.tell(batch, Err(BatchError::Refused))),
        }
    }

    /// What was decided about each batch, once it is committed.
    async fn commit(&mut self, flush: &[QueuedBatch]) -> Result<Vec<Decision>, Refused> {
        self.own.sequence += 1;
        let mut backoff = Backoff::default();
        let mut unknown = None; // what was decided in an attempt whose COMMIT has an unknown outcome
        let began = Instant::now();
        loop {
            let (first, decisions, shape) = (backoff.attempts() == 0, Vec::new(), FlushShape::default());
            let mut attempt = Attempt { own: &self.own, flush, first, decisions, shape };
            let error = match self.session.run(&mut attempt).await {
                Ok(transaction::Outcome::Committed) => {
                    return Ok(self.committed(began, flush, (attempt.decisions, attempt.shape)));
                }
                Ok(transaction::Outcome::CommittedBefore) => {
                    return Ok(self.committed(began, flush, decided_before(unknown)));
                }
                Ok(transaction::Outcome::Forgotten) => {
                    self.own = Numbering { sequence: 1, ..own_numbering() };
                    continue;
                }
                Err(transaction::Failure::BeforeCommit(error)) => error,
                Err(transaction::Failure::InCommit(error)) => {
                    if !attempt.decisions.is_empty() {
                        unknown = Some((attempt.decisions, attempt.shape));
                    }
                    error
                }
            };
            if verdict(&error) == Verdict::Refused {
                tracing::error!(%error, batches = flush.len(), "the database refuses a flush");
                self.own.sequence -= 1; // it was not committed, so the number is free
                return Err(Refused);
            }
            self.metrics.retry(Operation::Flush, &error);
            let wait = backoff.next();
            tracing::warn!(%error, ?wait, attempt = backoff.attempts(), "cannot write; trying again");
            tokio::time::sleep(wait).await;
        }
    }

    fn committed(&self, began: Instant, flush: &[QueuedBatch], (decisions, shape): Decided) -> Vec<Decision> {
        self.metrics.flushed(began.elapsed(), flush.len(), shape);
        Span::current().record("tidegauge.write_path", shape.write_path).record("tidegauge.rows", shape.rows);
        decisions
    }

    /// Tells each batch; `refused` are points of the one batch of a flush that had to be taken out.
    fn settle(&self, flush: Vec<QueuedBatch>, decisions: &[Decision], refused: Rejections) {
        let committed_at = time::now_micros();
        self.refusals.points(&refused);
        for (batch, decision) in flush.into_iter().zip(decisions) {
            let outcome = match *decision {
                Decision::Apply => Ok(Stored::Applied { committed_at, refused: refused.clone() }),
                Decision::Duplicate => Ok(Stored::Duplicate { committed_at }),
                Decision::Gap { expected } => Err(gap(&batch, expected)),
                Decision::Fenced { current } => Err(fenced(&batch, current)),
            };
            self.tell(batch, outcome);
        }
    }

    fn tell(&self, batch: QueuedBatch, outcome: Result<Stored, BatchError>) {
        match &outcome {
            Ok(Stored::Applied { .. }) => self.metrics.accepted(batch.points.len()), // without those that were taken out
            Ok(Stored::Duplicate { .. }) => self.metrics.duplicate(batch.points.len()),
            Err(error) => self.refusals.batch(error),
        }
        let _ = batch.outcome.send(outcome); // a stream that has gone needs no answer; its points are stored all the same
        drop((batch.room, batch.bytes));
    }
}

/// What was decided in the attempt that turned out to be committed. There is one, for nobody else moves a writer's own row;
/// without it nothing is acknowledged, and clients send again.
fn decided_before(unknown: Option<Decided>) -> Decided {
    unknown.unwrap_or_else(|| {
        tracing::error!("the ledger says that a flush is applied of which no attempt is known");
        Decided::default()
    })
}

/// What an attempt decided about each batch, and what it wrote.
type Decided = (Vec<Decision>, FlushShape);

/// The database looked at the flush and will refuse it every time.
struct Refused;

/// A row of the ledger that nobody else uses.
fn own_numbering() -> Numbering {
    let producer_id = format!("{OWN_PRODUCERS}writer/{:032x}", rand::random::<u128>());
    Numbering { producer_id, epoch: 0, sequence: 0 }
}

fn gap(batch: &QueuedBatch, expected: i64) -> BatchError {
    let (producer_id, epoch, found) = parts(batch);
    BatchError::Gap { producer_id, epoch, found, expected: expected.unsigned_abs() }
}

fn fenced(batch: &QueuedBatch, current: i64) -> BatchError {
    let (producer_id, found, _) = parts(batch);
    BatchError::Fenced { producer_id, found, current: current.unsigned_abs() }
}

/// Epoch and sequence came from unsigned numbers.
fn parts(batch: &QueuedBatch) -> (String, u64, u64) {
    batch.numbering.as_ref().map_or_else(Default::default, |numbering| {
        (numbering.producer_id.clone(), numbering.epoch.unsigned_abs(), numbering.sequence.unsigned_abs())
    })
}

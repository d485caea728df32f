//! One attempt to write a flush: its input, its results, and its possible ends.

use std::collections::BTreeSet;

use shared::proto::v1::BatchResult;
use shared::time;

use crate::flush::QueuedBatch;
use crate::ledger::{Decision, Ledger};
use crate::metrics::FlushShape;
use crate::numbering::Numbering;

/// One attempt to write a flush: its input and its results.
pub(super) struct Attempt<'a> {
    pub(super) own: &'a Numbering,
    pub(super) flush: &'a [QueuedBatch],
    /// True on the first attempt.
    pub(super) first: bool,
    /// One decision for each batch. Set once the ledger is locked, or before a single-statement
    /// write.
    pub(super) decisions: Vec<Decision>,
    /// Figures for the metrics, set once the points are written.
    pub(super) shape: FlushShape,
}

/// Outcome of an attempt that ended without an error.
pub(super) enum AttemptOutcome {
    /// COMMIT returned.
    Committed,
    /// An earlier attempt, whose COMMIT got no answer, was committed. Holds the answer that the
    /// ledger remembers of each batch of the flush.
    CommittedBefore(Vec<Option<BatchResult>>),
    /// The writer's own row is gone: the database deleted it after a long idle time.
    Forgotten,
    /// Nothing was written. Contains the producers whose ledger rows other transactions hold.
    Locked(BTreeSet<String>),
}

/// Error of an attempt, by the point at which it failed.
pub(super) enum AttemptFailure {
    /// Nothing was written.
    BeforeCommit(sqlx::Error),
    /// COMMIT was sent, or may have been: whether it took effect is unknown.
    InCommit(sqlx::Error),
}

impl From<sqlx::Error> for AttemptFailure {
    fn from(error: sqlx::Error) -> Self {
        Self::BeforeCommit(error)
    }
}

impl<'a> Attempt<'a> {
    /// Iterates over the numberings of the numbered batches.
    pub(super) fn numberings(&self) -> impl Iterator<Item = &'a Numbering> + use<'a> {
        self.flush.iter().filter_map(|batch| batch.numbering.as_ref())
    }

    /// Returns the producers of the flush, including the writer itself.
    pub(super) fn producers(&self) -> BTreeSet<&'a str> {
        self.numberings()
            .chain([self.own])
            .map(|numbering| numbering.producer_id.as_str())
            .collect()
    }

    /// Decides about each batch.
    pub(super) fn decide(&mut self, ledger: &mut Ledger) {
        let committed_at = time::now_micros();
        let decisions = self.flush.iter().map(|batch| {
            let answer = || batch.answer(committed_at);
            match &batch.numbering {
                Some(numbering) => ledger.decide(numbering, answer),
                None => Decision::Apply(Box::new(answer())),
            }
        });
        self.decisions = decisions.collect();
    }

    /// Returns the first answer of each batch that the ledger remembers.
    pub(super) fn recall(&self, ledger: &Ledger) -> Vec<Option<BatchResult>> {
        self.flush
            .iter()
            .map(|batch| batch.numbering.as_ref().and_then(|it| ledger.first_answer(it)).cloned())
            .collect()
    }

    /// Iterates over the batches that are written.
    pub(super) fn applied(&self) -> impl Iterator<Item = &'a QueuedBatch> {
        self.flush
            .iter()
            .zip(&self.decisions)
            .filter(|(_, decision)| matches!(decision, Decision::Apply(_)))
            .map(|(batch, _)| batch)
    }
}

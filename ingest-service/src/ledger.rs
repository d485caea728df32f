//! Decides which batches of a flush are applied, and how the others are answered. Does no I/O and
//! reads no clock.
//!
//! The rule for a batch numbered (epoch, sequence), given the (epoch, last sequence) of its
//! producer's ledger row:
//!
//! | batch | decision |
//! |---|---|
//! | lower epoch | fenced |
//! | higher epoch, sequence 1 | applied; the epoch takes over |
//! | the next sequence | applied |
//! | a sequence beyond the next | gap |
//! | an applied sequence, remembered with the same content | duplicate: the first answer again |
//! | an applied sequence, remembered with different content | reused |
//! | an applied sequence that is no longer remembered | too old |

mod remembered;

use std::collections::{BTreeMap, HashMap};

use shared::proto::v1::BatchResult;

use crate::numbering::Numbering;
pub(crate) use remembered::{PAGE_BYTES, REMEMBERED_BATCHES, RememberedBatch, decode};

/// Position of a producer: the last batch that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProducerPosition {
    pub(crate) epoch: i64,
    pub(crate) last_sequence: i64,
}

impl ProducerPosition {
    /// Position of a producer without a ledger row. Its epoch is lower than any that a client can
    /// send.
    pub(crate) const UNKNOWN: Self = Self { epoch: -1, last_sequence: 0 };

    /// Returns the last applied sequence of an epoch that is not fenced, 0 if there is none.
    fn last_sequence_in(self, epoch: i64) -> i64 {
        if epoch > self.epoch { 0 } else { self.last_sequence }
    }

    /// Returns the current epoch, if the producer has one.
    fn current_epoch(self) -> Option<i64> {
        (self.epoch >= 0).then_some(self.epoch)
    }
}

/// Decision about one batch. `expected` is the next sequence of the batch's epoch, `current` the
/// ledger's epoch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decision {
    /// The batch is written. Holds its answer, to be sent once the flush is committed.
    Apply(Box<BatchResult>),
    /// The batch was applied before. Holds the answer to its first sending, marked as a duplicate.
    Duplicate(Box<BatchResult>),
    /// The sequence was applied with different content.
    Reused { expected: i64, current: i64 },
    /// The sequence was applied, but is no longer remembered.
    TooOld { expected: i64, current: i64 },
    /// Earlier batches of the epoch are missing.
    Gap { expected: i64, current: Option<i64> },
    /// A higher epoch has taken over.
    Fenced { current: i64 },
}

/// Positions of a flush's producers, in the order in which their rows are locked.
pub(crate) type ProducerPositions = BTreeMap<String, ProducerPosition>;

/// The part of the ledger that one flush reads and changes.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    positions: ProducerPositions,
    /// Applied batches of each producer's current epoch, by producer and sequence.
    remembered: HashMap<(String, i64), RememberedBatch>,
    /// Encoded entries that the flush adds, for each producer that it advances.
    entries: BTreeMap<String, Vec<u8>>,
}

/// Request for the remembered batches of a producer from the lowest resent sequence on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) producer_id: String,
    pub(crate) epoch: i64,
    pub(crate) first_sequence: i64,
}

impl Ledger {
    pub(crate) fn new(positions: ProducerPositions) -> Self {
        Self { positions, ..Self::default() }
    }

    /// Returns the remembered batches that must be read before `decide` is called, one entry for
    /// each producer with resends.
    pub(crate) fn wanted<'n>(
        &self,
        numberings: impl Iterator<Item = &'n Numbering>,
    ) -> Vec<Wanted> {
        let mut first: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for Numbering { producer_id, epoch, sequence, .. } in numberings {
            let Some(position) = self.positions.get(producer_id) else { continue };
            if *epoch == position.epoch && *sequence <= position.last_sequence {
                let (_, first_sequence) = first.entry(producer_id).or_insert((*epoch, *sequence));
                *first_sequence = (*sequence).min(*first_sequence);
            }
        }
        let wanted = |(producer_id, (epoch, first_sequence)): (&str, _)| Wanted {
            producer_id: producer_id.to_owned(),
            epoch,
            first_sequence,
        };
        first.into_iter().map(wanted).collect()
    }

    /// Adds remembered batches of a producer, as read from the database.
    pub(crate) fn remember(&mut self, producer_id: &str, batches: Vec<RememberedBatch>) {
        for batch in batches {
            // Never above i64::MAX, because it came from a `Numbering`.
            let sequence = batch.result.sequence.cast_signed();
            self.remembered.insert((producer_id.to_owned(), sequence), batch);
        }
    }

    /// Decides about one batch. If it is applied, advances the producer's position and remembers
    /// the answer.
    pub(crate) fn decide(
        &mut self,
        numbering: &Numbering,
        answer: impl FnOnce() -> BatchResult,
    ) -> Decision {
        let Numbering { producer_id, epoch, sequence, content_hash } = numbering;
        let position =
            self.positions.get(producer_id).copied().unwrap_or(ProducerPosition::UNKNOWN);
        if *epoch < position.epoch {
            return Decision::Fenced { current: position.epoch };
        }
        let expected = position.last_sequence_in(*epoch) + 1;
        if *sequence > expected {
            return Decision::Gap { expected, current: position.current_epoch() };
        }
        if *sequence < expected {
            let current = position.epoch;
            return match self.first_answer(numbering) {
                Some(first) => Decision::Duplicate(Box::new(BatchResult {
                    is_duplicate: true,
                    ..first.clone()
                })),
                None if self.is_remembered(numbering) => Decision::Reused { expected, current },
                None => Decision::TooOld { expected, current },
            };
        }
        let result = answer();
        let batch = RememberedBatch { content_hash: *content_hash, result };
        self.take_over(
            producer_id,
            position,
            ProducerPosition { epoch: *epoch, last_sequence: *sequence },
        );
        batch.append_to(self.entries.entry(producer_id.clone()).or_default());
        let result = Box::new(batch.result.clone());
        self.remembered.insert((producer_id.clone(), *sequence), batch);
        Decision::Apply(result)
    }

    /// Returns the answer to a batch's first sending, if it is remembered and had the same content.
    pub(crate) fn first_answer(&self, numbering: &Numbering) -> Option<&BatchResult> {
        let batch = self.remembered.get(&(numbering.producer_id.clone(), numbering.sequence))?;
        (batch.content_hash == numbering.content_hash).then_some(&batch.result)
    }

    fn is_remembered(&self, numbering: &Numbering) -> bool {
        self.remembered.contains_key(&(numbering.producer_id.clone(), numbering.sequence))
    }

    /// Moves a producer to a new position. Forgets its batches if the epoch changes.
    fn take_over(&mut self, producer_id: &str, from: ProducerPosition, to: ProducerPosition) {
        if from.epoch != to.epoch {
            self.remembered.retain(|(remembered, _), _| remembered != producer_id);
            self.entries.remove(producer_id);
        }
        self.positions.insert(producer_id.to_owned(), to);
    }

    /// Advances the writer's own row to the flush's number, unless an earlier attempt already did.
    pub(crate) fn decide_own(&mut self, own: &Numbering) -> OwnDecision {
        let position =
            self.positions.get(&own.producer_id).copied().unwrap_or(ProducerPosition::UNKNOWN);
        let last_sequence = position.last_sequence_in(own.epoch);
        if own.sequence <= last_sequence {
            return OwnDecision::CommittedBefore;
        }
        if own.sequence > last_sequence + 1 {
            return OwnDecision::Forgotten;
        }
        let position = ProducerPosition { epoch: own.epoch, last_sequence: own.sequence };
        self.positions.insert(own.producer_id.clone(), position);
        self.entries.insert(own.producer_id.clone(), Vec::new());
        OwnDecision::Write
    }

    /// Returns the new positions and entries of the producers that the flush advances, in sorted
    /// order.
    pub(crate) fn moved(&self) -> impl Iterator<Item = (&str, ProducerPosition, &[u8])> {
        self.entries.iter().map(|(producer_id, entries)| {
            let position =
                self.positions.get(producer_id).copied().unwrap_or(ProducerPosition::UNKNOWN);
            (producer_id.as_str(), position, entries.as_slice())
        })
    }
}

/// State of a flush according to the writer's own ledger row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnDecision {
    /// The flush is not written yet.
    Write,
    /// An earlier attempt to write the flush was committed.
    CommittedBefore,
    /// The row is gone: the database deleted it after a long idle time.
    Forgotten,
}

/// Advance of a producer by one flush within an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LedgerStep {
    pub(crate) epoch: i64,
    /// Last sequence applied before the flush.
    pub(crate) before: i64,
    /// Last sequence of the flush.
    pub(crate) after: i64,
    /// Encoded entries that the flush adds.
    pub(crate) entries: Vec<u8>,
}

/// Steps of a flush's producers, in the order in which their rows are locked.
pub(crate) type LedgerSteps<'n> = BTreeMap<&'n str, LedgerStep>;

/// Returns the steps of a flush under the assumption that each batch is the next one of its
/// producer.
///
/// Returns `None` if the batches contradict that, or if a producer begins an epoch and may be new
/// to the ledger. Batches without a result, which are the writer's own, are not remembered.
pub(crate) fn steps<'n, 'r>(
    batches: impl Iterator<Item = (&'n Numbering, Option<&'r BatchResult>)>,
) -> Option<LedgerSteps<'n>> {
    let mut steps = LedgerSteps::new();
    for (Numbering { producer_id, epoch, sequence, content_hash }, result) in batches {
        let before = sequence - 1;
        let new = LedgerStep { epoch: *epoch, before, after: before, entries: Vec::new() };
        let step = steps.entry(producer_id).or_insert(new);
        if step.before == 0 || *epoch != step.epoch || *sequence != step.after + 1 {
            return None;
        }
        step.after = *sequence;
        if let Some(result) = result {
            let batch = RememberedBatch { content_hash: *content_hash, result: result.clone() };
            batch.append_to(&mut step.entries);
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests;

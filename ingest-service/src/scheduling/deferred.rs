//! Batches of producers whose ledger rows are locked by other transactions. A lane keeps them until
//! their retry, while it writes the batches of other producers.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::flush::QueuedBatch;

/// Time after which a lane retries deferred batches.
pub(super) const RETRY: Duration = Duration::from_millis(250);

/// Deferred batches of a lane, in order for each producer.
#[derive(Default)]
pub(super) struct Deferred {
    by_producer: BTreeMap<String, VecDeque<QueuedBatch>>,
    retry_at: Option<Instant>,
}

impl Deferred {
    /// Returns the time of the next retry, or `None` if no batches are deferred.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Returns whether batches of this producer are deferred.
    pub(super) fn holds(&self, producer_id: &str) -> bool {
        self.by_producer.contains_key(producer_id)
    }

    /// Takes the next batches to retry, up to about `max_points`. Each producer gets an equal
    /// share, its oldest batches first, and at least one batch.
    pub(super) fn take(&mut self, max_points: usize) -> Vec<QueuedBatch> {
        let share = max_points / self.by_producer.len().max(1);
        let mut taken = Vec::new();
        for batches in self.by_producer.values_mut() {
            let mut points = 0;
            while let Some(next) = batches.front()
                && (points == 0 || points + next.points.len() <= share)
            {
                points += next.points.len().max(1);
                taken.extend(batches.pop_front());
            }
        }
        taken
    }

    /// Defers batches that were not tried, ahead of the other deferred batches of their producers.
    pub(super) fn put_back(&mut self, not_tried: Vec<QueuedBatch>, retry_at: Instant) {
        for batch in not_tried.into_iter().rev() {
            let producer_id = batch.producer_id().unwrap_or_default().to_owned();
            self.by_producer.entry(producer_id).or_default().push_front(batch);
        }
        self.by_producer.retain(|_, batches| !batches.is_empty());
        self.retry_at = (!self.by_producer.is_empty()).then_some(retry_at);
    }

    /// Defers the batches of a flush whose producers already have deferred batches, to keep their
    /// order. Returns the others.
    pub(super) fn filter(&mut self, flush: Vec<QueuedBatch>) -> Vec<QueuedBatch> {
        if self.by_producer.is_empty() {
            return flush;
        }
        let mut others = Vec::new();
        for batch in flush {
            match batch.producer_id().and_then(|producer_id| self.by_producer.get_mut(producer_id))
            {
                Some(batches) => batches.push_back(batch),
                None => others.push(batch),
            }
        }
        others
    }
}

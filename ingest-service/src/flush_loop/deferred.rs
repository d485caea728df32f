//! Batches of producers whose ledger rows other transactions hold, kept until they are tried again. Other producers go on.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::flush::QueuedBatch;

/// How long a lane waits before it tries deferred batches again.
pub(super) const RETRY: Duration = Duration::from_millis(250);

/// The deferred batches of a lane, each producer's in their order.
#[derive(Default)]
pub(super) struct Deferred {
    by_producer: BTreeMap<String, VecDeque<QueuedBatch>>,
    retry_at: Option<Instant>,
}

impl Deferred {
    /// Returns when deferred batches are to be tried again; `None` if there are none.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Returns whether batches of this producer are deferred.
    pub(super) fn holds(&self, producer_id: &str) -> bool {
        self.by_producer.contains_key(producer_id)
    }

    /// Takes the next batches to try, about as many points as this: an equal share of each producer, its oldest first.
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

    /// Puts batches back that could not be tried, before those of the same producers that were not taken.
    pub(super) fn put_back(&mut self, not_tried: Vec<QueuedBatch>, retry_at: Instant) {
        for batch in not_tried.into_iter().rev() {
            let producer_id = batch.producer_id().unwrap_or_default().to_owned();
            self.by_producer.entry(producer_id).or_default().push_front(batch);
        }
        self.by_producer.retain(|_, batches| !batches.is_empty());
        self.retry_at = (!self.by_producer.is_empty()).then_some(retry_at);
    }

    /// Defers the batches of a flush whose producers have deferred ones, so that their order stays. Returns the others.
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

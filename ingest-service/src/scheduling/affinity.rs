//! Lane affinity: all unsettled batches of a producer are in one lane, so that they are written in
//! order. A producer without unsettled batches may use any lane.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Lane of each producer that has unsettled batches.
#[derive(Default)]
pub(super) struct LaneAffinity {
    assignments: Mutex<Assignments>,
    /// Notified whenever the last batch of a producer is settled, or its batches are no longer
    /// deferred.
    changed: Notify,
}

/// Assignments of producers to lanes.
#[derive(Default)]
struct Assignments {
    by_producer: HashMap<String, Assignment>,
    /// Number of producers in each lane.
    by_lane: BTreeMap<usize, usize>,
}

/// Assignment of one producer.
struct Assignment {
    lane: usize,
    /// Number of unsettled batches.
    batches: usize,
    /// Whether the producer's batches are deferred, because its ledger row is locked.
    is_deferred: bool,
}

impl LaneAffinity {
    /// Returns the lane for one more batch of a producer. If the producer may not stay in its
    /// present lane, waits until its batches there are settled.
    ///
    /// `choose` selects the lane of a producer without unsettled batches, given the number of
    /// producers in each lane.
    pub(super) async fn assign(
        &self,
        producer_id: &str,
        may_stay: impl Fn(usize) -> bool,
        choose: impl Fn(&BTreeMap<usize, usize>) -> usize,
    ) -> usize {
        loop {
            // Registered before the check, so that no notification is missed.
            let changed = self.changed.notified();
            if let Some(lane) = self.try_assign(producer_id, &may_stay, &choose) {
                return lane;
            }
            changed.await;
        }
    }

    fn try_assign(
        &self,
        producer_id: &str,
        may_stay: impl Fn(usize) -> bool,
        choose: impl Fn(&BTreeMap<usize, usize>) -> usize,
    ) -> Option<usize> {
        let mut assignments = self.lock();
        if let Some(assignment) = assignments.by_producer.get_mut(producer_id) {
            return may_stay(assignment.lane).then(|| {
                assignment.batches += 1;
                assignment.lane
            });
        }
        let lane = choose(&assignments.by_lane);
        *assignments.by_lane.entry(lane).or_default() += 1;
        assignments
            .by_producer
            .insert(producer_id.to_owned(), Assignment { lane, batches: 1, is_deferred: false });
        Some(lane)
    }

    /// Waits while the producer's batches are deferred. More of its batches would only take permits
    /// away from other producers.
    pub(super) async fn wait_until_not_deferred(&self, producer_id: &str) {
        loop {
            // Registered before the check, so that no notification is missed.
            let changed = self.changed.notified();
            let is_deferred =
                self.lock().by_producer.get(producer_id).is_some_and(|it| it.is_deferred);
            if !is_deferred {
                return;
            }
            changed.await;
        }
    }

    /// Records which producers of a lane have deferred batches.
    pub(super) fn set_deferred(&self, lane: usize, is_deferred: impl Fn(&str) -> bool) {
        let mut assignments = self.lock();
        for (producer_id, assignment) in
            assignments.by_producer.iter_mut().filter(|(_, assignment)| assignment.lane == lane)
        {
            assignment.is_deferred = is_deferred(producer_id);
        }
        self.changed.notify_waiters();
    }

    /// Records that one batch per entry has been settled.
    pub(super) fn release(&self, producers: &[String]) {
        let mut assignments = self.lock();
        for producer_id in producers {
            let Some(assignment) = assignments.by_producer.get_mut(producer_id) else { continue };
            assignment.batches -= 1;
            if assignment.batches == 0 {
                let lane = assignment.lane;
                assignments.by_producer.remove(producer_id);
                assignments.by_lane.entry(lane).and_modify(|producers| *producers -= 1);
                self.changed.notify_waiters();
            }
        }
    }

    /// Locks the state. A panic while the lock is held changes at most one entry.
    fn lock(&self) -> MutexGuard<'_, Assignments> {
        self.assignments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::LaneAffinity;

    #[test]
    fn a_producer_keeps_its_lane_while_it_has_unsettled_batches() {
        let affinity = LaneAffinity::default();
        let assign = |producer, choose| affinity.try_assign(producer, |_| true, |_| choose);
        assert_eq!(assign("a", 1), Some(1));
        assert_eq!(assign("a", 0), Some(1));
        assert_eq!(assign("b", 0), Some(0));
        affinity.release(&["a".to_owned()]);
        assert_eq!(assign("a", 0), Some(1), "one batch is not settled yet");
        affinity.release(&["a".to_owned(), "a".to_owned()]);
        assert_eq!(assign("a", 0), Some(0));
        assert_eq!(affinity.lock().by_producer.len(), 2);
        assert_eq!(affinity.lock().by_lane, [(0, 2), (1, 0)].into());
    }

    #[tokio::test]
    async fn a_producer_whose_batches_are_deferred_waits_and_others_do_not() {
        let affinity = LaneAffinity::default();
        assert_eq!(affinity.try_assign("held", |_| true, |_| 0), Some(0));
        assert_eq!(affinity.try_assign("other", |_| true, |_| 0), Some(0));
        affinity.set_deferred(0, |producer_id| producer_id == "held");
        affinity.wait_until_not_deferred("other").await;
        affinity.wait_until_not_deferred("unknown").await;
        let waits = affinity.wait_until_not_deferred("held");
        tokio::pin!(waits);
        assert!(tokio::time::timeout(Duration::ZERO, &mut waits).await.is_err());
        affinity.set_deferred(0, |_| false);
        waits.await;
    }

    #[tokio::test]
    async fn a_producer_that_may_not_stay_waits_until_its_batches_are_settled() {
        let affinity = LaneAffinity::default();
        let may_stay = |lane| lane != 2;
        assert_eq!(affinity.try_assign("a", |_| true, |_| 2), Some(2));
        assert_eq!(affinity.try_assign("a", |_| true, |_| 0), Some(2));
        let moved = affinity.assign("a", may_stay, |_| 1);
        tokio::pin!(moved);
        for producers in [vec![], vec!["a".to_owned()]] {
            affinity.release(&producers);
            let waited = tokio::time::timeout(Duration::ZERO, &mut moved).await;
            assert!(waited.is_err(), "the other lane still has batches of the producer");
        }
        affinity.release(&["a".to_owned()]);
        assert_eq!(moved.await, 1);
    }
}

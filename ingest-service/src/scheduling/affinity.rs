//! Lane affinity: all unsettled batches of a producer are in one lane, so that they are written in
//! order. A producer without unsettled batches may use any lane.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Lane of each producer that has unsettled batches.
#[derive(Default)]
pub(super) struct Seats {
    taken: Mutex<Taken>,
    /// Notified whenever the last batch of a producer is settled, or its batches are no longer
    /// deferred.
    left: Notify,
}

#[derive(Default)]
struct Taken {
    seats: HashMap<String, Seat>,
    /// Number of producers in each lane.
    by_lane: BTreeMap<usize, usize>,
}

struct Seat {
    lane: usize,
    batches: usize,
    /// Whether the producer's batches are deferred, because its ledger row is locked.
    is_deferred: bool,
}

impl Seats {
    /// Returns the lane for one more batch of a producer. If the producer may not stay in its
    /// present lane, waits until its batches there are settled.
    pub(super) async fn take(
        &self,
        producer_id: &str,
        may_stay: impl Fn(usize) -> bool,
        idlest: impl Fn(&BTreeMap<usize, usize>) -> usize,
    ) -> usize {
        loop {
            let left = self.left.notified(); // registered before the check, so that none is missed
            if let Some(lane) = self.try_take(producer_id, &may_stay, &idlest) {
                return lane;
            }
            left.await;
        }
    }

    fn try_take(
        &self,
        producer_id: &str,
        may_stay: impl Fn(usize) -> bool,
        idlest: impl Fn(&BTreeMap<usize, usize>) -> usize,
    ) -> Option<usize> {
        let mut taken = self.lock();
        if let Some(seat) = taken.seats.get_mut(producer_id) {
            return may_stay(seat.lane).then(|| {
                seat.batches += 1;
                seat.lane
            });
        }
        let lane = idlest(&taken.by_lane);
        *taken.by_lane.entry(lane).or_default() += 1;
        taken.seats.insert(producer_id.to_owned(), Seat { lane, batches: 1, is_deferred: false });
        Some(lane)
    }

    /// Waits while the producer's batches are deferred. More of its batches would only take permits
    /// away from other producers.
    pub(super) async fn until_not_deferred(&self, producer_id: &str) {
        loop {
            let left = self.left.notified(); // registered before the check, so that none is missed
            if !self.lock().seats.get(producer_id).is_some_and(|seat| seat.is_deferred) {
                return;
            }
            left.await;
        }
    }

    /// Records which producers of a lane have deferred batches.
    pub(super) fn set_deferred(&self, lane: usize, is_deferred: impl Fn(&str) -> bool) {
        let mut taken = self.lock();
        for (producer_id, seat) in taken.seats.iter_mut().filter(|(_, seat)| seat.lane == lane) {
            seat.is_deferred = is_deferred(producer_id);
        }
        self.left.notify_waiters();
    }

    /// Records that one batch per entry has been settled.
    pub(super) fn leave(&self, producers: &[String]) {
        let mut taken = self.lock();
        for producer_id in producers {
            let Some(seat) = taken.seats.get_mut(producer_id) else { continue };
            seat.batches -= 1;
            if seat.batches == 0 {
                let lane = seat.lane;
                taken.seats.remove(producer_id);
                taken.by_lane.entry(lane).and_modify(|producers| *producers -= 1);
                self.left.notify_waiters();
            }
        }
    }

    /// Locks the state. A panic while the lock is held changes at most one entry.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Seats;

    #[test]
    fn a_producer_keeps_its_lane_while_it_has_batches_under_way() {
        let seats = Seats::default();
        let take = |producer, idlest| seats.try_take(producer, |_| true, |_| idlest);
        assert_eq!(take("a", 1), Some(1));
        assert_eq!(take("a", 0), Some(1));
        assert_eq!(take("b", 0), Some(0));
        seats.leave(&["a".to_owned()]);
        assert_eq!(take("a", 0), Some(1), "one batch is not settled yet");
        seats.leave(&["a".to_owned(), "a".to_owned()]);
        assert_eq!(take("a", 0), Some(0));
        assert_eq!(seats.lock().seats.len(), 2);
        assert_eq!(seats.lock().by_lane, [(0, 2), (1, 0)].into());
    }

    #[tokio::test]
    async fn a_producer_whose_batches_are_deferred_waits_and_others_do_not() {
        let seats = Seats::default();
        assert_eq!(seats.try_take("held", |_| true, |_| 0), Some(0));
        assert_eq!(seats.try_take("other", |_| true, |_| 0), Some(0));
        seats.set_deferred(0, |producer_id| producer_id == "held");
        seats.until_not_deferred("other").await;
        seats.until_not_deferred("unknown").await;
        let waits = seats.until_not_deferred("held");
        tokio::pin!(waits);
        assert!(tokio::time::timeout(Duration::ZERO, &mut waits).await.is_err());
        seats.set_deferred(0, |_| false);
        waits.await;
    }

    #[tokio::test]
    async fn a_producer_that_may_not_stay_waits_until_nothing_of_it_is_under_way() {
        let seats = Seats::default();
        let may_stay = |lane| lane != 2;
        assert_eq!(seats.try_take("a", |_| true, |_| 2), Some(2));
        assert_eq!(seats.try_take("a", |_| true, |_| 0), Some(2));
        let moved = seats.take("a", may_stay, |_| 1);
        tokio::pin!(moved);
        for producers in [vec![], vec!["a".to_owned()]] {
            seats.leave(&producers);
            let waited = tokio::time::timeout(Duration::ZERO, &mut moved).await;
            assert!(waited.is_err(), "the other lane still has batches of the producer");
        }
        seats.leave(&["a".to_owned()]);
        assert_eq!(moved.await, 1);
    }
}

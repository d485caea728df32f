//! Which lane a producer's batches go through. It stays the same while any of them is under way, so that they are written in
//! order; a producer that has nothing under way may go wherever there is least to do.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The producers that have batches under way; as many entries as that.
#[derive(Default)]
pub(super) struct Seats {
    taken: Mutex<Taken>,
    /// Notified whenever a producer has nothing under way any more, or may go on.
    left: Notify,
}

#[derive(Default)]
struct Taken {
    seats: HashMap<String, Seat>,
    /// How many producers each lane has.
    by_lane: BTreeMap<usize, usize>,
}

struct Seat {
    lane: usize,
    batches: usize,
    /// Whether another transaction holds the producer's ledger row, so that its batches are deferred.
    is_deferred: bool,
}

impl Seats {
    /// The lane for one more batch of a producer. Where it may not stay in the lane that it has, this waits until nothing of it
    /// is under way there.
    pub(super) async fn take(
        &self,
        producer_id: &str,
        may_stay: impl Fn(usize) -> bool,
        idlest: impl Fn(&BTreeMap<usize, usize>) -> usize,
    ) -> usize {
        loop {
            let left = self.left.notified(); // from here on, so that none is missed
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

    /// Waits while the producer's batches are deferred. More of them would only take permits away from other producers.
    pub(super) async fn until_not_deferred(&self, producer_id: &str) {
        loop {
            let left = self.left.notified(); // from here on, so that none is missed
            if !self.lock().seats.get(producer_id).is_some_and(|seat| seat.is_deferred) {
                return;
            }
            left.await;
        }
    }

    /// Notes whose batches a lane defers, and that it does not defer any others.
    pub(super) fn set_deferred(&self, lane: usize, is_deferred: impl Fn(&str) -> bool) {
        let mut taken = self.lock();
        for (producer_id, seat) in taken.seats.iter_mut().filter(|(_, seat)| seat.lane == lane) {
            seat.is_deferred = is_deferred(producer_id);
        }
        self.left.notify_waiters();
    }

    /// A batch of each of these producers has been settled.
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

    /// Whoever panicked with the lock held changed one entry at most.
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
        assert_eq!(take("a", 0), Some(1), "one batch is still under way");
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
            assert!(waited.is_err(), "batches of it are under way in the other lane");
        }
        seats.leave(&["a".to_owned()]);
        assert_eq!(moved.await, 1);
    }
}

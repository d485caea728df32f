//! Which lane a producer's batches go through. It stays the same while any of them is under way, so that they are written in
//! order; a producer that has nothing under way may go wherever there is least to do.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The producers that have batches under way; as many entries as that.
#[derive(Default)]
pub(super) struct Seats(Mutex<HashMap<String, Seat>>);

struct Seat {
    lane: usize,
    batches: usize,
}

impl Seats {
    /// The lane for one more batch of a producer.
    pub(super) fn take(&self, producer_id: &str, idlest: impl FnOnce() -> usize) -> usize {
        let mut seats = self.lock();
        if let Some(seat) = seats.get_mut(producer_id) {
            seat.batches += 1;
            return seat.lane;
        }
        let lane = idlest();
        seats.insert(producer_id.to_owned(), Seat { lane, batches: 1 });
        lane
    }

    /// A batch of each of these producers has been settled.
    pub(super) fn leave(&self, producers: &[String]) {
        let mut seats = self.lock();
        for producer_id in producers {
            if let Some(seat) = seats.get_mut(producer_id) {
                seat.batches -= 1;
                if seat.batches == 0 {
                    seats.remove(producer_id);
                }
            }
        }
    }

    /// Whoever panicked with the lock held changed one entry at most.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Seat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Seats;

    #[test]
    fn a_producer_keeps_its_lane_while_it_has_batches_under_way() {
        let seats = Seats::default();
        assert_eq!(seats.take("a", || 1), 1);
        assert_eq!(seats.take("a", || 0), 1);
        assert_eq!(seats.take("b", || 0), 0);
        seats.leave(&["a".to_owned()]);
        assert_eq!(seats.take("a", || 0), 1, "one batch is still under way");
        seats.leave(&["a".to_owned(), "a".to_owned()]);
        assert_eq!(seats.take("a", || 0), 0);
        assert_eq!(seats.lock().len(), 2);
    }
}

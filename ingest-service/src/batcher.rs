//! Batches to flushes. Pure: no I/O, no clock of its own.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Batches that wait to be written, oldest first.
#[derive(Debug)]
pub(crate) struct Batcher<T> {
    max_points: usize,
    max_delay: Duration,
    waiting: VecDeque<Waiting<T>>,
}

#[derive(Debug)]
struct Waiting<T> {
    batch: T,
    points: usize,
    arrived: Instant,
}

impl<T> Batcher<T> {
    pub(crate) fn new(max_points: usize, max_delay: Duration) -> Self {
        Self { max_points, max_delay, waiting: VecDeque::new() }
    }

    pub(crate) fn push(&mut self, batch: T, points: usize, now: Instant) {
        self.waiting.push_back(Waiting { batch, points, arrived: now });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next flush, to be called when a writer is free: the oldest batches, in order, up to the bound of points, and
    /// only those that arrived within the bound of time after the first. A batch that is over the bound by itself is a
    /// flush of its own. Empty where nothing waits.
    pub(crate) fn take(&mut self) -> Vec<T> {
        let Some(first) = self.waiting.front() else { return Vec::new() };
        let last_arrival = first.arrived + self.max_delay;
        let mut points = 0;
        let count = self.waiting.iter().take_while(|waiting| {
            points += waiting.points;
            points <= self.max_points && waiting.arrived <= last_arrival
        });
        let count = count.count().max(1);
        self.waiting.drain(..count).map(|waiting| waiting.batch).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_keeps_the_order_and_the_bound_of_points() {
        let now = Instant::now();
        let mut batcher = Batcher::new(100, Duration::from_secs(1));
        for (name, points) in [("a", 60), ("b", 40), ("c", 1), ("d", 250), ("e", 5)] {
            batcher.push(name, points, now);
        }
        let flushes: Vec<_> = std::iter::from_fn(|| Some(batcher.take()).filter(|flush| !flush.is_empty())).collect();
        assert_eq!(flushes, [vec!["a", "b"], vec!["c"], vec!["d"], vec!["e"]]);
        assert!(batcher.is_empty());
    }

    #[test]
    fn a_flush_spans_no_more_arrivals_than_the_bound_of_time() {
        let now = Instant::now();
        let mut batcher = Batcher::new(100, Duration::from_secs(1));
        batcher.push("a", 1, now);
        batcher.push("b", 1, now + Duration::from_secs(1));
        batcher.push("c", 1, now + Duration::from_millis(1_001));
        assert_eq!(batcher.take(), ["a", "b"]);
        assert_eq!(batcher.take(), ["c"]);
    }
}

//! Combines batches into flushes. Does no I/O and reads no clock.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// While other clients send as well, one client gets at most 1/4 of a flush, because every client
/// waits for the flush in progress.
const MIN_SHARES: usize = 4;
/// A client counts as sending for 1 s after its last batch.
const RECENT: Duration = Duration::from_secs(1);
/// A unary batch precedes streaming batches of its client that arrived up to 500 ms earlier. The
/// limit keeps streaming batches from waiting forever.
const UNARY_PRIORITY: Duration = Duration::from_millis(500);

/// Batches that wait to be written. Each client's are ordered by arrival, but unary batches count
/// as 500 ms older.
#[derive(Debug)]
pub(super) struct Batcher<T> {
    max_points: usize,
    unary_max_points: usize,
    max_delay: Duration,
    clients: HashMap<Arc<str>, ClientQueues<T>>,
    /// Clients with waiting batches, in the order of their turns.
    turns: VecDeque<Arc<str>>,
}

/// Waiting batches of one client. It is kept for 1 s after the last arrival, even if empty.
#[derive(Debug)]
struct ClientQueues<T> {
    unary: VecDeque<PendingBatch<T>>,
    streaming: VecDeque<PendingBatch<T>>,
    last_arrival: Instant,
}

/// A batch that waits to be written.
#[derive(Debug)]
struct PendingBatch<T> {
    batch: T,
    points: usize,
    arrived: Instant,
}

impl<T> Batcher<T> {
    /// Creates a batcher with the maximum number of points of a flush, and the maximum while unary
    /// batches wait. A smaller flush shortens their wait for the flush in progress and for their
    /// own.
    pub(super) fn new(max_points: usize, unary_max_points: usize, max_delay: Duration) -> Self {
        Self {
            max_points,
            unary_max_points,
            max_delay,
            clients: HashMap::new(),
            turns: VecDeque::new(),
        }
    }

    /// Adds a batch that arrived now.
    pub(super) fn push(
        &mut self,
        client: &Arc<str>,
        batch: T,
        points: usize,
        unary: bool,
        now: Instant,
    ) {
        let new = || ClientQueues {
            unary: VecDeque::new(),
            streaming: VecDeque::new(),
            last_arrival: now,
        };
        let known = self.clients.entry(Arc::clone(client)).or_insert_with(new);
        if !known.is_waiting() {
            self.turns.push_back(Arc::clone(client));
        }
        let line = if unary { &mut known.unary } else { &mut known.streaming };
        let points = points.max(1); // a numbered batch without valid points takes part as well
        line.push_back(PendingBatch { batch, points, arrived: now });
        known.last_arrival = now;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Takes the next flush. Call it when the writer is free. Empty if no batches wait.
    ///
    /// Visits the clients in turn and takes the batches of each in order. It takes at most the
    /// client's share, and only batches that arrived within `max_delay` after its first. The flush
    /// has at most `max_points` points, but a single batch above that limit forms its own flush.
    pub(super) fn take(&mut self, now: Instant) -> Vec<T> {
        self.clients.retain(|_, client| client.is_waiting() || client.last_arrival + RECENT > now);
        let is_unary = self.clients.values().any(|client| !client.unary.is_empty());
        let max_points = if is_unary { self.unary_max_points } else { self.max_points };
        let share = if self.clients.len() > 1 {
            max_points / MIN_SHARES.max(self.turns.len())
        } else {
            max_points
        };
        let mut flush = Vec::new();
        let mut points = 0;
        for _ in 0..self.turns.len() {
            let Some(name) = self.turns.pop_front() else { break };
            let Some(client) = self.clients.get_mut(&name) else { continue };
            let left = max_points.saturating_sub(points);
            let taken = client.take(
                share,
                if flush.is_empty() { usize::MAX } else { left },
                self.max_delay,
                &mut flush,
            );
            if taken == 0 {
                self.turns.push_front(name); // the flush is full; this client starts the next one
                break;
            }
            points += taken;
            if client.is_waiting() {
                self.turns.push_back(name);
            }
        }
        flush
    }
}

impl<T> ClientQueues<T> {
    /// Returns the queue whose first batch comes next.
    fn next_line(&mut self) -> &mut VecDeque<PendingBatch<T>> {
        match (self.unary.front(), self.streaming.front()) {
            (Some(unary), Some(streaming))
                if unary.arrived <= streaming.arrived + UNARY_PRIORITY =>
            {
                &mut self.unary
            }
            (Some(_), None) => &mut self.unary,
            _ => &mut self.streaming,
        }
    }

    fn is_waiting(&self) -> bool {
        !self.unary.is_empty() || !self.streaming.is_empty()
    }

    /// Moves the client's batches in order into the flush. Returns their number of points.
    ///
    /// Takes at least the first batch and at most the share. Takes nothing if the first batch
    /// exceeds the points left in the flush.
    fn take(
        &mut self,
        share: usize,
        left: usize,
        max_delay: Duration,
        flush: &mut Vec<T>,
    ) -> usize {
        let mut taken = 0;
        let mut last_arrival = None;
        loop {
            let line = self.next_line();
            let Some(next) = line.front() else { break };
            let points = taken + next.points;
            let last_arrival = *last_arrival.get_or_insert(next.arrived + max_delay);
            let fits =
                points <= left && (taken == 0 || points <= share && next.arrived <= last_arrival);
            if !fits {
                break;
            }
            taken = points;
            flush.extend(line.pop_front().map(|next| next.batch));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batcher() -> Batcher<&'static str> {
        Batcher::new(100, 50, Duration::from_secs(1))
    }

    #[test]
    fn a_flush_keeps_the_order_and_the_bound_of_points() {
        let now = Instant::now();
        let client = Arc::from("client");
        let mut batcher = batcher();
        for (name, points) in [("a", 60), ("b", 40), ("c", 1), ("d", 250), ("e", 5)] {
            batcher.push(&client, name, points, false, now);
        }
        let flushes: Vec<_> =
            std::iter::from_fn(|| Some(batcher.take(now)).filter(|flush| !flush.is_empty()))
                .collect();
        assert_eq!(flushes, [vec!["a", "b"], vec!["c"], vec!["d"], vec!["e"]]);
        assert!(batcher.is_empty());
    }

    #[test]
    fn a_flush_spans_no_more_arrivals_of_a_client_than_the_bound_of_time() {
        let now = Instant::now();
        let client = Arc::from("client");
        let mut batcher = batcher();
        batcher.push(&client, "a", 1, false, now);
        batcher.push(&client, "b", 1, false, now + Duration::from_secs(1));
        batcher.push(&client, "c", 1, false, now + Duration::from_millis(1_001));
        assert_eq!(batcher.take(now), ["a", "b"]);
        assert_eq!(batcher.take(now), ["c"]);
    }

    #[test]
    fn one_client_has_a_share_while_others_send_and_all_when_they_have_stopped() {
        let now = Instant::now();
        let greedy = Arc::from("greedy");
        let modest = Arc::from("modest");
        let mut batcher = batcher();
        for _ in 0..20 {
            batcher.push(&greedy, "g", 10, false, now);
        }
        batcher.push(&modest, "m", 1, false, now);
        assert_eq!(batcher.take(now), ["g", "g", "m"]);
        assert_eq!(batcher.take(now), ["g", "g"], "the other client still counts as sending");
        assert_eq!(batcher.take(now + RECENT).len(), 10);
    }

    #[test]
    fn more_clients_than_a_flush_holds_have_their_turns() {
        let now = Instant::now();
        let mut batcher = batcher();
        let names: [&'static str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
        for name in names {
            for _ in 0..2 {
                batcher.push(&Arc::from(name), name, 30, false, now);
            }
        }
        let flushes =
            std::iter::from_fn(|| Some(batcher.take(now)).filter(|flush| !flush.is_empty()));
        assert_eq!(flushes.flatten().collect::<Vec<_>>(), [names, names].concat());
    }

    #[test]
    fn a_batch_without_points_is_taken_once_and_leaves_nothing_behind() {
        let now = Instant::now();
        let mut batcher = batcher();
        batcher.push(&Arc::from("client"), "empty", 0, false, now);
        assert_eq!(batcher.take(now), ["empty"]);
        assert!(batcher.is_empty());
    }

    #[test]
    fn unary_batches_of_a_client_come_first() {
        let now = Instant::now();
        let client = Arc::from("client");
        let mut batcher = batcher();
        for (name, points, unary) in
            [("a", 60, false), ("b", 60, false), ("c", 30, true), ("d", 5, true)]
        {
            batcher.push(&client, name, points, unary, now);
        }
        assert_eq!(
            batcher.take(now),
            ["c", "d"],
            "95 points exceed the limit while unary batches wait"
        );
        batcher.push(&client, "e", 60, true, now);
        assert_eq!(batcher.take(now), ["e"]);
        batcher.push(&client, "f", 30, false, now);
        assert_eq!(batcher.take(now), ["a"]);
        assert_eq!(batcher.take(now), ["b", "f"]);
        assert!(batcher.is_empty());
    }

    #[test]
    fn a_streaming_batch_that_has_waited_long_is_not_overtaken() {
        let began = Instant::now();
        let client = Arc::from("client");
        let mut batcher = batcher();
        batcher.push(&client, "other", 50, false, began);
        for (name, after) in [
            ("a", Duration::ZERO),
            ("b", UNARY_PRIORITY),
            ("c", UNARY_PRIORITY + Duration::from_nanos(1)),
        ] {
            batcher.push(&client, name, 50, true, began + after);
        }
        let flushes: Vec<_> = std::iter::from_fn(|| batcher.take(began).pop()).collect();
        assert_eq!(flushes, ["a", "b", "other", "c"]);
    }
}

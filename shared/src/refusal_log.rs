//! One line in the log for many refusals: whoever knocks often must not fill it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two lines about one kind of refusal.
const INTERVAL: Duration = Duration::from_secs(5);

/// Lets one refusal of its kind through every five seconds.
#[derive(Debug, Default)]
pub struct RefusalLog(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    withheld: u64,
}

impl RefusalLog {
    /// Nothing was let through yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(State { last: None, withheld: 0 }))
    }

    /// Whether this one is to be logged, and how many were not since the last one that was.
    pub fn let_through(&self) -> Option<u64> {
        self.let_through_at(Instant::now())
    }

    fn let_through_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now.duration_since(last) < INTERVAL) {
            state.withheld += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_refusals_are_one_line_that_counts_them() {
        let (log, start) = (RefusalLog::new(), Instant::now());
        assert_eq!(log.let_through_at(start), Some(0));
        for _ in 0..1_000 {
            assert_eq!(log.let_through_at(start + INTERVAL / 2), None);
        }
        assert_eq!(log.let_through_at(start + INTERVAL), Some(1_000));
    }
}

//! Decides, in one place, what is tried again and when.
//!
//! Refused data (SQLSTATE classes 22, 23, 44 and P0) is never retried as it is. The flush is halved
//! until the failing batches are alone, and `writer::refused_points` isolates their points, which
//! become rejections. Everything else is retried on a new connection after 50 ms to 5 s. This
//! includes an attempt that takes longer than `TIDEGAUGE_WRITE_TIMEOUT` (2 min).

use std::time::Duration;

use rand::RngExt as _;
use shared::db;

/// Classification of a database error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Retry on a new connection. No data may be lost because the database is unavailable or not
    /// set up yet.
    Retry,
    /// The database refuses this data permanently.
    Refused,
}

/// Classifies an error of the database.
pub(crate) fn verdict(error: &sqlx::Error) -> Verdict {
    if db::is_refusal(error) { Verdict::Refused } else { Verdict::Retry }
}

/// Exponential backoff from 50 ms to 5 s. Each wait is shortened at random by up to a half, so that
/// many writers do not retry at the same instant.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(5);

    /// Returns the number of waits handed out so far.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the next time to wait.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = Self::FIRST.saturating_mul(1 << self.attempts.min(10)).min(Self::LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        wait.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;

    #[test]
    fn waits_grow_and_stay_bounded() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..50).map(|_| backoff.next()).collect();
        assert!(waits[0] >= Backoff::FIRST / 2 && waits[0] <= Backoff::FIRST);
        assert!(
            waits[40..]
                .iter()
                .all(|wait| *wait >= Backoff::LONGEST / 2 && *wait <= Backoff::LONGEST)
        );
    }
}

//! Decides, in one place, what is tried again and when.
//!
//! Refused data (SQLSTATE classes 22, 23, 44 and P0) is never retried as it is. The flush is halved
//! until the failing batches are alone, and `writer::refused_points` isolates their points, which
//! become rejections. Everything else is retried on a new connection after 50 ms to 5 s. This
//! includes an attempt that takes longer than `TIDEGAUGE_WRITE_TIMEOUT` (2 min).

use std::time::Duration;

use rand::RngExt as _;
use shared::db;

use crate::metrics::{Metrics, Operation};

/// Retries of one operation of the database, until the database carries it out or refuses it.
pub(crate) struct Retries {
    operation: Operation,
    metrics: Metrics,
    backoff: Backoff,
}

impl Retries {
    pub(crate) fn of(operation: Operation, metrics: &Metrics) -> Self {
        Self { operation, metrics: metrics.clone(), backoff: Backoff::default() }
    }

    /// True on the first attempt.
    pub(crate) fn is_first_attempt(&self) -> bool {
        self.backoff.attempts == 0
    }

    /// Counts and logs the error of an attempt, and waits until the next one is due. No data may be
    /// lost because the database is unavailable or not set up yet.
    ///
    /// # Errors
    /// Returns the error at once if the database refuses the data permanently.
    pub(crate) async fn wait_after(&mut self, error: sqlx::Error) -> sqlx::Result<()> {
        if db::is_refusal(&error) {
            return Err(error);
        }
        self.metrics.retry(self.operation, &error);
        let failure = match self.operation {
            Operation::Flush => "cannot write a flush",
            Operation::Series => "cannot resolve series",
            Operation::RefusedPoints => "cannot search for refused points",
        };
        let wait = self.backoff.next();
        let attempt = self.backoff.attempts;
        tracing::warn!(%error, ?wait, attempt, "{failure}; retrying");
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

/// Exponential backoff from 50 ms to 5 s. Each wait is shortened at random by up to a half, so that
/// many writers do not retry at the same instant.
#[derive(Debug, Default)]
struct Backoff {
    /// Number of waits handed out so far.
    attempts: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(50);
    const LONGEST: Duration = Duration::from_secs(5);

    /// Returns the next time to wait.
    fn next(&mut self) -> Duration {
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

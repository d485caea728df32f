//! A token bucket per minute without debt. Pure: callers pass the current time.

use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// A token bucket that refills at a rate per minute and holds at most one minute's worth. It never
/// goes into debt: a request for more than it holds gets what is there.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// State after the last withdrawal. `None`: the bucket is full.
    last: Option<Taken>,
}

#[derive(Debug)]
struct Taken {
    at: Instant,
    left: f64,
    per_minute: f64,
}

impl Allowance {
    /// Takes at most `count` tokens and returns how many were taken.
    pub(super) fn take(&mut self, count: usize, per_minute: usize, now: Instant) -> usize {
        let left = self.left(per_minute, now);
        let taken = count.min(whole(left));
        if taken > 0 {
            self.last = Some(Taken {
                at: now,
                left: left - as_float(taken),
                per_minute: as_float(per_minute),
            });
        }
        taken
    }

    /// Returns the time until `count` tokens are available, or one minute's worth if that is less.
    pub(super) fn wait(&self, count: usize, per_minute: usize, now: Instant) -> Duration {
        let missing = as_float(count.min(per_minute)) - self.left(per_minute, now);
        if missing <= 0.0 {
            return Duration::ZERO;
        }
        // Rounding errors could make the result too short, so add a millisecond.
        MINUTE.mul_f64(missing / as_float(per_minute)) + Duration::from_millis(1)
    }

    /// Returns whether the bucket is full, like a new one.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.last.as_ref().is_none_or(|taken| taken.left(taken.per_minute, now) >= taken.per_minute)
    }

    fn left(&self, per_minute: usize, now: Instant) -> f64 {
        let per_minute = as_float(per_minute);
        self.last.as_ref().map_or(per_minute, |taken| taken.left(per_minute, now))
    }
}

impl Taken {
    fn left(&self, per_minute: f64, now: Instant) -> f64 {
        let minutes = now.saturating_duration_since(self.at).as_secs_f64() / MINUTE.as_secs_f64();
        (self.left + per_minute * minutes).min(per_minute)
    }
}

#[allow(clippy::cast_precision_loss)] // exact below 2^53
fn as_float(number: usize) -> f64 {
    number as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 0 to usize::MAX
fn whole(number: f64) -> usize {
    number as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_s_worth_goes_at_once_and_nothing_is_lent() {
        let mut allowance = Allowance::default();
        let start = Instant::now();
        assert!(allowance.is_full(start));
        assert_eq!(allowance.take(250, 100, start), 100);
        assert_eq!(allowance.take(150, 100, start), 0);
        assert_eq!(allowance.take(150, 100, start + MINUTE / 2), 50);
        assert!(!allowance.is_full(start + MINUTE));
        assert!(allowance.is_full(start + 2 * MINUTE));
        assert_eq!(
            allowance.take(250, 100, start + 60 * MINUTE),
            100,
            "tokens of more than one minute are not saved"
        );
    }

    #[test]
    fn after_the_wait_there_is_what_was_waited_for_or_a_minute_s_worth() {
        let mut allowance = Allowance::default();
        let start = Instant::now();
        allowance.take(100, 100, start);
        let wait = allowance.wait(10, 100, start);
        assert!(wait >= MINUTE / 10 && wait < MINUTE / 9, "{wait:?}");
        assert_eq!(allowance.take(10, 100, start + wait), 10);
        let now = start + wait;
        let wait = allowance.wait(1_000, 100, now);
        assert_eq!(allowance.take(1_000, 100, now + wait), 100);
        assert_eq!(Allowance::default().wait(5, 100, start), Duration::ZERO);
    }

    #[test]
    fn a_changed_limit_holds_at_once() {
        let mut allowance = Allowance::default();
        let start = Instant::now();
        allowance.take(1, 100, start);
        assert_eq!(allowance.take(100, 10, start), 10);
        assert_eq!(allowance.take(1_000, 1_000, start + MINUTE), 1_000);
    }
}

//! A token bucket per second with debt. Pure: callers pass the current time.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket that refills at a rate per second and holds at most one second's worth.
///
/// If at least one token is left, any number can be taken at once. The missing tokens become a
/// debt, and nothing more can be taken until it is paid. A batch larger than one second's worth can
/// therefore pass, and the long-term average still equals the rate.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Time and level after the last withdrawal. `None`: the bucket is full.
    last: Option<(Instant, f64)>,
}

impl Bucket {
    fn level(&self, rate: f64, now: Instant) -> f64 {
        match self.last {
            Some((at, level)) => {
                (level + rate * now.saturating_duration_since(at).as_secs_f64()).min(rate)
            }
            None => rate,
        }
    }

    /// Returns the time until at least one token is available, or `None` if there is one now.
    #[allow(clippy::cast_precision_loss)] // exact below 2^53
    pub(super) fn wait(&self, rate: usize, now: Instant) -> Option<Duration> {
        let rate = rate as f64;
        let missing = 1.0 - self.level(rate, now);
        // Rounding errors could make the result too short, so add a nanosecond.
        (missing > 0.0)
            .then(|| Duration::from_secs_f64((missing / rate).min(1e9)) + Duration::from_nanos(1))
    }

    /// Takes `count` tokens, or returns the time to wait first.
    pub(super) fn take(&mut self, count: usize, rate: usize, now: Instant) -> Result<(), Duration> {
        match self.wait(rate, now) {
            Some(wait) => Err(wait),
            None => {
                self.spend(count, rate, now);
                Ok(())
            }
        }
    }

    /// Takes `count` tokens unconditionally.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn spend(&mut self, count: usize, rate: usize, now: Instant) {
        self.last = Some((now, self.level(rate as f64, now) - count as f64));
    }

    /// Returns whether the bucket is full, like a new one. An unlimited bucket is always full.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn is_full(&self, rate: Option<usize>, now: Instant) -> bool {
        rate.is_none_or(|rate| self.level(rate as f64, now) >= rate as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_goes_at_once_and_then_as_many_a_second() {
        let mut bucket = Bucket::default();
        let start = Instant::now();
        for _ in 0..10 {
            assert_eq!(bucket.take(1, 10, start), Ok(()));
        }
        let wait = bucket.take(1, 10, start).unwrap_err();
        assert!(wait > Duration::from_millis(99) && wait < Duration::from_millis(101), "{wait:?}");
        assert_eq!(bucket.take(1, 10, start + wait), Ok(()));
        assert!(!bucket.is_full(Some(10), start + wait));
        assert!(bucket.is_full(Some(10), start + wait + Duration::from_secs(2)));
    }

    #[test]
    fn more_than_a_second_s_worth_goes_through_and_is_a_debt() {
        let mut bucket = Bucket::default();
        let start = Instant::now();
        assert_eq!(bucket.take(1_000, 100, start), Ok(()));
        let wait = bucket.take(1, 100, start).unwrap_err();
        assert!(wait > Duration::from_secs(9) && wait < Duration::from_millis(9_100), "{wait:?}");
    }
}

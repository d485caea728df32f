//! How much was taken of what grows with time. Pure: is told the time.

use std::time::Duration;

use tokio::time::Instant;

/// Fills with so many a second, up to a second's worth. Whoever finds one left may take any number at once: what is not there
/// is a debt, and nobody takes more before it is paid. So a batch larger than a second's worth goes through, and in the long
/// run it is as many a second as it should be.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// None until something is taken: full.
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

    /// How long until there is something to take.
    #[allow(clippy::cast_precision_loss)] // exact below 2^53
    pub(super) fn wait(&self, rate: usize, now: Instant) -> Option<Duration> {
        let rate = rate as f64;
        let missing = 1.0 - self.level(rate, now);
        // A nanosecond more than it takes, for the level is not exact.
        (missing > 0.0)
            .then(|| Duration::from_secs_f64((missing / rate).min(1e9)) + Duration::from_nanos(1))
    }

    /// Takes, or says how long that has to wait.
    pub(super) fn take(&mut self, count: usize, rate: usize, now: Instant) -> Result<(), Duration> {
        match self.wait(rate, now) {
            Some(wait) => Err(wait),
            None => {
                self.spend(count, rate, now);
                Ok(())
            }
        }
    }

    /// Takes whatever is there.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn spend(&mut self, count: usize, rate: usize, now: Instant) {
        self.last = Some((now, self.level(rate as f64, now) - count as f64));
    }

    /// Whether it stands where a new one would. What is not limited never changes.
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
        let (mut bucket, start) = (Bucket::default(), Instant::now());
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
        let (mut bucket, start) = (Bucket::default(), Instant::now());
        assert_eq!(bucket.take(1_000, 100, start), Ok(()));
        let wait = bucket.take(1, 100, start).unwrap_err();
        assert!(wait > Duration::from_secs(9) && wait < Duration::from_millis(9_100), "{wait:?}");
    }
}

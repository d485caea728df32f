//! Limits on the timestamps of points.

use std::time::Duration;

use shared::proto::v1::RejectionReason as Reason;
use shared::time;

use super::PointRefusal;
use super::units::{self, Unit};
use crate::config::Limits;

/// Accepted time range of one batch. Times are microseconds since the Unix epoch.
pub(super) struct AcceptedTimes {
    oldest: i64,
    latest: i64,
    back: Duration,
    ahead: Duration,
    received_at: i64,
}

impl AcceptedTimes {
    pub(super) fn new(limits: &Limits, received_at: i64) -> Self {
        let back = limits.oldest_accepted;
        let ahead = limits.latest_accepted;
        Self {
            oldest: received_at.saturating_sub(time::duration_to_micros(back)),
            latest: received_at.saturating_add(time::duration_to_micros(ahead)),
            back,
            ahead,
            received_at,
        }
    }

    /// Returns whether a time is accepted.
    #[inline]
    pub(super) fn accept(&self, timestamp: i64) -> bool {
        (self.oldest..=self.latest).contains(&timestamp)
    }

    /// Rejects a time that is not accepted.
    #[inline]
    pub(super) fn check(&self, timestamp: i64) -> Result<(), PointRefusal> {
        if self.accept(timestamp) { Ok(()) } else { Err(self.refusal(timestamp)) }
    }

    /// Rejects an entry of `timestamps_us` that is not accepted, with a guess of the unit that the
    /// client used.
    #[inline]
    pub(super) fn check_entry(&self, timestamp: i64) -> Result<(), PointRefusal> {
        self.check(timestamp)
            .map_err(|(reason, sentence)| (reason, sentence + &self.other_unit(timestamp)))
    }

    #[cold]
    fn other_unit(&self, found: i64) -> String {
        match units::guess(found, Unit::Microseconds, self.received_at) {
            Some((unit, meant)) => format!(
                "; timestamps_us has {found}, which looks like {unit} ({meant}), but must be in \
                 microseconds since 1970"
            ),
            None => String::new(),
        }
    }

    #[cold]
    fn refusal(&self, timestamp: i64) -> PointRefusal {
        let found = time::display(timestamp);
        if timestamp < self.oldest {
            let oldest = time::display(self.oldest);
            let back = humantime::format_duration(self.back);
            (
                Reason::TimestampTooOld,
                format!("timestamp {found} is too old; the limit is {oldest} ({back} ago)"),
            )
        } else {
            let latest = time::display(self.latest);
            let ahead = humantime::format_duration(self.ahead);
            (
                Reason::TimestampTooNew,
                format!("timestamp {found} is too new; the limit is {latest} ({ahead} ahead)"),
            )
        }
    }
}

/// Returns a point's time in microseconds since the Unix epoch. In an unnumbered batch a missing
/// timestamp means the time of receipt.
#[inline]
pub(super) fn of(
    timestamp: Option<(i64, i32)>,
    numbered: bool,
    times: &AcceptedTimes,
) -> Result<i64, PointRefusal> {
    let Some((seconds, nanos)) = timestamp else {
        return if numbered { Err(missing()) } else { Ok(times.received_at) };
    };
    time::from_timestamp(&prost_types::Timestamp { seconds, nanos })
        .ok_or_else(|| (Reason::TimestampInvalid, invalid(seconds, nanos, times.received_at)))
}

#[cold]
fn missing() -> PointRefusal {
    let sentence = "timestamp is missing; every point of a numbered batch needs one, so that a \
                    resend carries the same data";
    (Reason::TimestampMissing, sentence.to_owned())
}

/// Describes which part of a timestamp is out of range. Adds the unit that the seconds look like,
/// if some unit puts them near the service's clock.
#[cold]
fn invalid(seconds: i64, nanos: i32, now: i64) -> String {
    if (time::FIRST_SECOND..=time::LAST_SECOND).contains(&seconds) {
        return format!("timestamp.nanos is {nanos}; 0 to 999999999 are accepted");
    }
    let first = time::FIRST_SECOND;
    let last = time::LAST_SECOND;
    let limit = format!(
        "timestamp.seconds is {seconds}; {first} to {last} are accepted (the years 0001 to 9999)"
    );
    match units::guess(seconds, Unit::Seconds, now) {
        Some((unit, meant)) => {
            format!(
                "{limit}. It looks like {unit} since 1970 ({meant}): send whole seconds, and the \
                 remainder in nanos"
            )
        }
        None => limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_611_171_000_000; // 2026-11-25T12:52:51Z

    fn times() -> AcceptedTimes {
        AcceptedTimes::new(&shared::config::defaults(&[]).unwrap(), NOW)
    }

    #[test]
    fn seconds_out_of_range_are_rejected_with_the_limit_and_the_probable_unit() {
        let rejection = |seconds: i64| of(Some((seconds, 0)), false, &times()).unwrap_err();
        assert_eq!(
            rejection(1_795_611_171_000),
            (
                Reason::TimestampInvalid,
                "timestamp.seconds is 1795611171000; -62135596800 to 253402300799 are accepted \
                 (the years 0001 to 9999). It looks like milliseconds since 1970 \
                 (2026-11-25T12:52:51Z): send whole seconds, and the remainder in nanos"
                    .to_owned()
            )
        );
        assert!(
            rejection(1_795_611_171_000_000)
                .1
                .contains("looks like microseconds since 1970 (2026-11-25T12:52:51Z)")
        );
        assert!(
            rejection(1_795_611_171_000_000_000)
                .1
                .contains("looks like nanoseconds since 1970 (2026-11-25T12:52:51Z)")
        );
        assert!(rejection(i64::MAX).1.ends_with("(the years 0001 to 9999)"));
        assert!(rejection(i64::MIN).1.ends_with("(the years 0001 to 9999)"));
    }

    #[test]
    fn nanos_out_of_range_are_rejected_with_the_limit() {
        let rejection = of(Some((1_795_611_171, 1_000_000_000)), false, &times()).unwrap_err();
        let sentence = "timestamp.nanos is 1000000000; 0 to 999999999 are accepted".to_owned();
        assert_eq!(rejection, (Reason::TimestampInvalid, sentence));
    }

    #[test]
    fn entries_in_another_unit_are_rejected_with_the_probable_unit() {
        let rejection = |entry: i64| times().check_entry(entry).unwrap_err();
        for (entry, reason, unit) in [
            (1_795_611_171, Reason::TimestampTooOld, "seconds"),
            (1_795_611_171_000, Reason::TimestampTooOld, "milliseconds"),
            (1_795_611_171_000_000_000, Reason::TimestampTooNew, "nanoseconds"),
        ] {
            let (found, sentence) = rejection(entry);
            let hint = format!(
                "; timestamps_us has {entry}, which looks like {unit} (2026-11-25T12:52:51Z), but \
                 must be in microseconds since 1970"
            );
            assert!(found == reason && sentence.ends_with(&hint), "{sentence}");
        }
        let old = rejection(NOW - 31 * 86_400_000_000).1;
        assert!(
            old.ends_with("(30days ago)"),
            "a time that is merely too old suggests no other unit: {old}"
        );
    }
}

//! Times in microseconds since 1970-01-01T00:00:00Z, the unit of the database and of the contract's
//! columns.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use prost_types::Timestamp;

/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;

/// First second of the range of protobuf timestamps.
pub const FIRST_SECOND: i64 = -62_135_596_800; // 0001-01-01T00:00:00Z
/// Last second of the range of protobuf timestamps.
pub const LAST_SECOND: i64 = 253_402_300_799; // 9999-12-31T23:59:59Z

/// Returns the current time of the service's clock, in microseconds since the Unix epoch.
#[must_use]
pub fn now_micros() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(elapsed) => i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX),
        Err(before) => -duration_to_micros(before.duration()),
    }
}

/// Converts a duration to microseconds, truncating finer digits. Returns `i64::MAX` on overflow.
#[must_use]
pub fn duration_to_micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Converts a protobuf timestamp to microseconds, rounding down. Returns `None` if the timestamp is
/// invalid: outside the years 0001 to 9999, or with nanoseconds outside 0..1,000,000,000.
#[must_use]
pub fn from_timestamp(timestamp: &Timestamp) -> Option<i64> {
    let valid = (FIRST_SECOND..=LAST_SECOND).contains(&timestamp.seconds)
        && (0..1_000_000_000).contains(&timestamp.nanos);
    valid.then(|| timestamp.seconds * MICROS_PER_SECOND + i64::from(timestamp.nanos / 1_000))
}

/// Nanoseconds in a second.
const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Converts a protobuf timestamp to nanoseconds since 1970-01-01T00:00:00Z. Returns `None` if it is
/// invalid.
#[must_use]
pub fn nanos_of(timestamp: &Timestamp) -> Option<i128> {
    from_timestamp(timestamp)?;
    Some(i128::from(timestamp.seconds) * NANOS_PER_SECOND + i128::from(timestamp.nanos))
}

/// Converts a protobuf duration to nanoseconds. Returns `None` if it is invalid.
#[must_use]
pub fn nanos_of_duration(duration: &prost_types::Duration) -> Option<i128> {
    from_duration(duration)?;
    Some(i128::from(duration.seconds) * NANOS_PER_SECOND + i128::from(duration.nanos))
}

/// Rounds a time in nanoseconds up to whole microseconds, saturating at the limits of `i64`. Points
/// are stored in whole microseconds, so the comparison "at or after" gives the same result for the
/// rounded time.
#[must_use]
pub fn round_up_to_micros(nanos: i128) -> i64 {
    let micros = nanos.div_euclid(1_000) + i128::from(nanos.rem_euclid(1_000) > 0);
    i64::try_from(micros).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

/// Converts microseconds to a protobuf timestamp, clamped to the valid range. A bucket may start
/// before that range if the query is for the year 1.
#[must_use]
pub fn to_timestamp(micros: i64) -> Timestamp {
    let micros =
        micros.clamp(FIRST_SECOND * MICROS_PER_SECOND, (LAST_SECOND + 1) * MICROS_PER_SECOND - 1);
    let sub_second = i32::try_from(micros.rem_euclid(MICROS_PER_SECOND)).unwrap_or(0);
    Timestamp { seconds: micros.div_euclid(MICROS_PER_SECOND), nanos: sub_second * 1_000 }
}

/// Converts a protobuf duration to microseconds, truncating finer digits. Returns `None` if it is
/// invalid.
#[must_use]
pub fn from_duration(duration: &prost_types::Duration) -> Option<i64> {
    let same_sign = duration.seconds.signum() * i64::from(duration.nanos.signum()) >= 0;
    let valid = same_sign && duration.nanos.unsigned_abs() < 1_000_000_000;
    valid
        .then(|| {
            duration
                .seconds
                .checked_mul(MICROS_PER_SECOND)?
                .checked_add(i64::from(duration.nanos / 1_000))
        })
        .flatten()
}

/// Converts microseconds to a protobuf duration.
#[must_use]
pub fn to_duration(micros: i64) -> prost_types::Duration {
    let sub_second = i32::try_from(micros % MICROS_PER_SECOND).unwrap_or(0);
    prost_types::Duration { seconds: micros / MICROS_PER_SECOND, nanos: sub_second * 1_000 }
}

/// Formats a time as RFC 3339, for example `2026-11-23T05:57:06.000001Z`. A time outside the
/// calendar is formatted as a number of microseconds.
#[must_use]
pub fn display(micros: i64) -> String {
    DateTime::<Utc>::from_timestamp_micros(micros).map_or_else(
        || format!("{micros} µs"),
        |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    )
}

/// Formats a time in nanoseconds as RFC 3339, for example `2026-11-23T05:57:06.000001500Z`.
#[must_use]
pub fn display_nanos(nanos: i128) -> String {
    let seconds = i64::try_from(nanos.div_euclid(NANOS_PER_SECOND)).ok();
    let time = seconds.zip(u32::try_from(nanos.rem_euclid(NANOS_PER_SECOND)).ok());
    time.and_then(|(seconds, nanos)| DateTime::<Utc>::from_timestamp(seconds, nanos)).map_or_else(
        || format!("{nanos} ns"),
        |time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_rounded_up_to_the_next_microsecond() {
        let rounded =
            |seconds, nanos| nanos_of(&Timestamp { seconds, nanos }).map(round_up_to_micros);
        assert_eq!(rounded(1, 0), Some(1_000_000), "a whole microsecond stays");
        assert_eq!(rounded(1, 1), Some(1_000_001));
        assert_eq!(rounded(1, 999), Some(1_000_001));
        assert_eq!(rounded(1, 1_000), Some(1_000_001));
        assert_eq!(rounded(1, 999_999_999), Some(2_000_000));
        assert_eq!(rounded(-1, 999_999_001), Some(0), "also before 1970");
        assert_eq!(rounded(-1, 1), Some(-999_999));
        assert_eq!(rounded(LAST_SECOND, 999_999_999), Some((LAST_SECOND + 1) * MICROS_PER_SECOND));
        assert_eq!(rounded(0, 1_000_000_000), None);
        assert_eq!(round_up_to_micros(i128::MAX), i64::MAX);
        assert_eq!(round_up_to_micros(i128::MIN), i64::MIN);
    }

    #[test]
    fn times_in_nanoseconds_are_shown_with_all_their_digits() {
        assert_eq!(display_nanos(1_000_000_500), "1970-01-01T00:00:01.000000500Z");
        assert_eq!(display_nanos(-500), "1969-12-31T23:59:59.999999500Z");
        assert_eq!(display_nanos(i128::MAX), format!("{} ns", i128::MAX));
    }

    #[test]
    fn timestamps_are_cut_off_towards_the_past() {
        assert_eq!(from_timestamp(&Timestamp { seconds: 1, nanos: 1_999 }), Some(1_000_001));
        assert_eq!(from_timestamp(&Timestamp { seconds: -1, nanos: 1_999 }), Some(-999_999));
        assert_eq!(from_timestamp(&Timestamp { seconds: 0, nanos: -1 }), None);
        assert_eq!(from_timestamp(&Timestamp { seconds: i64::MAX, nanos: 0 }), None);
    }

    #[test]
    fn timestamps_survive_the_round_trip() {
        for micros in [-1_500_001, -1, 0, 1, 1_795_413_426_000_001] {
            assert_eq!(from_timestamp(&to_timestamp(micros)), Some(micros));
            assert_eq!(from_duration(&to_duration(micros)), Some(micros));
        }
    }

    #[test]
    fn no_timestamp_is_told_that_protobuf_does_not_have() {
        for (micros, expected) in
            [(i64::MIN, "0001-01-01T00:00:00Z"), (i64::MAX, "9999-12-31T23:59:59.999999Z")]
        {
            assert_eq!(
                from_timestamp(&to_timestamp(micros)).map(display).as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn durations_that_protobuf_does_not_have_are_refused() {
        let refused = [
            (1, -1),
            (-1, 1),
            (i64::MAX, 0),
            (i64::MIN, 0),
            (0, 1_000_000_000),
            (0, i32::MAX),
            (0, i32::MIN),
        ];
        for (seconds, nanos) in refused {
            assert_eq!(
                from_duration(&prost_types::Duration { seconds, nanos }),
                None,
                "{seconds} s {nanos} ns"
            );
        }
        for (nanos, micros) in [(999_999_999, 999_999), (-999_999_999, -999_999)] {
            assert_eq!(from_duration(&prost_types::Duration { seconds: 0, nanos }), Some(micros));
        }
    }

    #[test]
    fn times_are_shown_as_rfc_3339() {
        assert_eq!(display(1_000_001), "1970-01-01T00:00:01.000001Z");
        assert_eq!(display(i64::MAX), "9223372036854775807 µs");
    }
}

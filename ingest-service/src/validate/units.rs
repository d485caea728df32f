//! Guesses the unit of a time that is implausible as sent. Seconds, milliseconds, microseconds and
//! nanoseconds differ by a factor of 1,000, so at most one of them puts a number near the service's
//! clock.

use std::fmt;

use shared::time;

/// Maximum distance from the clock at which a unit is guessed: 30 years. Two times within it differ
/// by less than a factor of 1,000, so no number fits two units.
const NEAR_MICROS: i128 = 30 * 365 * 86_400 * 1_000_000;

/// Unit of a number that counts the time since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Unit {
    const ALL: [Self; 4] =
        [Self::Seconds, Self::Milliseconds, Self::Microseconds, Self::Nanoseconds];

    /// Converts a number in this unit to microseconds.
    fn micros(self, number: i64) -> i128 {
        let number = i128::from(number);
        match self {
            Self::Seconds => number * 1_000_000,
            Self::Milliseconds => number * 1_000,
            Self::Microseconds => number,
            Self::Nanoseconds => number.div_euclid(1_000),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
        })
    }
}

/// Returns the unit in which the number is near the clock, and the resulting time. Returns `None`
/// if there is no such unit or it is the unit of the field.
pub(super) fn guess(number: i64, field: Unit, now: i64) -> Option<(Unit, String)> {
    let near = |unit: &Unit| (unit.micros(number) - i128::from(now)).abs() <= NEAR_MICROS;
    let unit = Unit::ALL.into_iter().find(near).filter(|unit| *unit != field)?;
    Some((unit, time::display(i64::try_from(unit.micros(number)).ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_413_426_000_000; // 2026-11-23T05:57:06Z

    #[test]
    fn the_unit_is_the_one_that_puts_the_number_near_the_clock() {
        for (number, unit) in [
            (1_795_413_426, Unit::Seconds),
            (1_795_413_426_000, Unit::Milliseconds),
            (1_795_413_426_000_000, Unit::Microseconds),
            (1_795_413_426_000_000_000, Unit::Nanoseconds),
        ] {
            for field in Unit::ALL {
                let expected = (unit != field).then(|| (unit, "2026-11-23T05:57:06Z".to_owned()));
                assert_eq!(guess(number, field, NOW), expected, "{number} in a field of {field}");
            }
        }
    }

    #[test]
    fn a_number_that_is_near_the_clock_in_no_unit_has_none() {
        for number in [0, 1, -1, 1_000_000, 20_000_000_000, i64::MAX, i64::MIN] {
            assert_eq!(guess(number, Unit::Seconds, NOW), None, "{number}");
        }
    }

    #[test]
    fn no_number_fits_two_units() {
        for (index, one) in Unit::ALL.into_iter().enumerate() {
            let scale = one.micros(1_000_000_000_000);
            for other in &Unit::ALL[index + 1..] {
                assert!(scale >= 1_000 * other.micros(1_000_000_000_000));
            }
        }
        let first = i128::from(NOW) - NEAR_MICROS;
        let last = i128::from(NOW) + NEAR_MICROS;
        assert!(
            first > 0 && last / first < 1_000,
            "two times near the clock differ by less than the smallest factor"
        );
    }
}

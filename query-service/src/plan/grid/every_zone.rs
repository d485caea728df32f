//! Tests the local days of every zone around every transition against the definition: a day begins
//! at the first instant that has its local date. The definition is computed from offsets alone,
//! without the calendar functions that the tested code uses.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::{DAY, Grid, LocalDays};

const HOUR: i64 = 3_600_000_000;
/// The time before and after a transition whose days are checked. It may contain several
/// transitions of the zone.
const AROUND: i64 = 3 * DAY;

/// A stretch of time with one offset from UTC: [start, end). All fields are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Stretch {
    start: i64,
    end: i64,
    offset: i64,
}

fn micros(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_microsecond()
}

/// Returns the offsets of a zone from a month before 1970 until a month after 2037.
fn stretches(zone: &TimeZone) -> Vec<Stretch> {
    let first = micros("1969-12-01T00:00:00Z");
    let last = micros("2038-02-01T00:00:00Z");
    let begin = Timestamp::from_microsecond(first).unwrap();
    let mut stretches = vec![Stretch { start: first, end: last, offset: offset(zone, begin) }];
    for transition in zone.following(begin) {
        let at = transition.timestamp().as_microsecond();
        let offset = transition.offset().seconds();
        if at >= last {
            break;
        }
        if let Some(before) = stretches.last_mut() {
            before.end = at;
        }
        stretches.push(Stretch { start: at, end: last, offset: i64::from(offset) * 1_000_000 });
    }
    stretches
}

fn offset(zone: &TimeZone, time: Timestamp) -> i64 {
    i64::from(zone.to_offset(time).seconds()) * 1_000_000
}

/// Returns the first instant of each local date that occurs in these stretches, in the order of the
/// dates.
fn first_instants(stretches: &[Stretch]) -> Vec<i64> {
    let mut first: BTreeMap<i64, i64> = BTreeMap::new();
    for &Stretch { start, end, offset } in stretches {
        for date in (start + offset).div_euclid(DAY)..=(end - 1 + offset).div_euclid(DAY) {
            let begins = (date * DAY - offset).max(start);
            first.entry(date).and_modify(|known| *known = begins.min(*known)).or_insert(begins);
        }
    }
    first.into_values().collect()
}

/// Compares the days around a time with the first instants of the local dates.
fn check_around(name: &str, zone: &TimeZone, stretches: &[Stretch], around: i64) {
    let near = stretches.partition_point(|stretch| stretch.end <= around - 2 * AROUND);
    let near = stretches[near..].iter().take_while(|stretch| stretch.start < around + 2 * AROUND);
    let clipped = near.map(|stretch| Stretch {
        start: stretch.start.max(around - 2 * AROUND),
        end: stretch.end.min(around + 2 * AROUND),
        ..*stretch
    });
    let expected = first_instants(&clipped.collect::<Vec<_>>());
    let expected = &expected[1..expected.len() - 1]; // the outermost dates are incomplete
    let when = Timestamp::from_microsecond(around).unwrap();
    assert!(expected.is_sorted_by(|one, next| one < next), "{name} at {when}: dates are in order");

    let days = LocalDays { zone, days: 1 };
    let at = |time: i64| expected.partition_point(|&edge| edge <= time);
    for (start, end) in
        [(around - AROUND, around + AROUND), (around - 1, around + 1), (around, around + 2 * HOUR)]
    {
        let Grid::Days { edges, .. } = days.grid(start, end, 0) else {
            unreachable!("local days have edges")
        };
        assert_eq!(
            edges[..],
            expected[at(start) - 1..=at(end - 1)],
            "{name} at {when}: {start} to {end}"
        );
    }
    for time in [around - 1, around, around + HOUR / 2] {
        let number = days.number(time);
        assert_eq!(
            days.edge(number),
            expected[at(time) - 1],
            "{name} at {when}: the day that contains {time}"
        );
    }
}

#[test]
fn days_of_every_zone_are_right_around_every_transition() {
    let database = TimeZoneDatabase::bundled();
    let mut seen = HashSet::new();
    let mut transitions = 0;
    for name in database.available() {
        let zone = database.get(name.as_str()).unwrap();
        let stretches = stretches(&zone);
        if !seen.insert(stretches.clone()) {
            continue; // an alias of a zone that was checked
        }
        for stretch in &stretches[1..] {
            check_around(name.as_str(), &zone, &stretches, stretch.start);
            transitions += 1;
        }
    }
    assert!(seen.len() > 200, "{} zones", seen.len());
    assert!(transitions > 10_000, "{transitions} transitions");
}

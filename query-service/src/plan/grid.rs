//! The edges of buckets. Pure.

use std::iter::StepBy;
use std::ops::Range;
use std::slice::Iter;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use shared::granularity::Granularity;

/// The origin of buckets, as in `time_bucket`: Monday 2000-01-03T00:00:00Z in microseconds. Buckets
/// of minutes, hours and days have the same edges as when counted from 1970.
pub(crate) const ORIGIN: i64 = 946_857_600_000_000;
/// A day of 24 hours, in microseconds.
pub(crate) const DAY: i64 = 86_400_000_000;

/// A division of time into buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grid {
    /// No division: each point is a bucket of its own.
    Points,
    /// Buckets of one width, in microseconds, counted from `ORIGIN`.
    Equal(i64),
    /// Buckets of `days` local days of a time zone. The edges ascend, and reach beyond the answered
    /// interval.
    Days { days: i64, edges: Arc<[i64]> },
}

/// An iterator over the starts of neighbouring buckets.
pub(crate) enum Starts<'a> {
    Equal(StepBy<Range<i64>>),
    Edges(Iter<'a, i64>),
}

impl Iterator for Starts<'_> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        match self {
            Self::Equal(starts) => starts.next(),
            Self::Edges(starts) => starts.next().copied(),
        }
    }
}

impl Grid {
    /// Returns the grid of a rollup's own buckets, or `Points` for raw points.
    pub(crate) fn of(granularity: Granularity) -> Self {
        granularity.bucket_micros().map_or(Self::Points, Self::Equal)
    }

    /// Returns the start of the bucket that contains the time.
    pub(crate) fn floor(&self, micros: i64) -> i64 {
        match self {
            Self::Points => micros,
            Self::Equal(width) => micros - (micros - ORIGIN).rem_euclid(*width),
            Self::Days { edges, .. } => {
                let after = edges.partition_point(|&edge| edge <= micros);
                edges.get(after.saturating_sub(1)).copied().unwrap_or(micros)
            }
        }
    }

    /// Returns the end of the last bucket that begins before the time.
    pub(crate) fn ceil(&self, micros: i64) -> i64 {
        match self {
            Self::Points => micros,
            Self::Equal(width) => micros + (ORIGIN - micros).rem_euclid(*width),
            Self::Days { edges, .. } => {
                let at = edges.partition_point(|&edge| edge < micros);
                edges.get(at).copied().unwrap_or(micros)
            }
        }
    }

    /// Returns the edge `buckets` after an edge, or before it if `buckets` is negative. `Days` stop
    /// at their outermost edge.
    pub(crate) fn step(&self, edge: i64, buckets: i64) -> i64 {
        match self {
            Self::Points => edge,
            Self::Equal(width) => edge.saturating_add(width.saturating_mul(buckets)),
            Self::Days { edges, .. } => {
                let at = edges.partition_point(|&other| other < edge);
                let buckets_away = isize::try_from(buckets).unwrap_or(isize::MAX);
                let index =
                    at.saturating_add_signed(buckets_away).min(edges.len().saturating_sub(1));
                edges.get(index).copied().unwrap_or(edge)
            }
        }
    }

    /// Returns the number of buckets between two edges; 0 for `Points`.
    pub(crate) fn count(&self, start: i64, end: i64) -> u64 {
        match self {
            Self::Points => 0,
            Self::Equal(width) => ((end - start) / width).unsigned_abs(),
            Self::Days { .. } => self.edges(start, end).len() as u64,
        }
    }

    /// Returns the starts of the buckets between two edges.
    pub(crate) fn starts(&self, start: i64, end: i64) -> Starts<'_> {
        match self {
            Self::Points => Starts::Edges([].iter()),
            Self::Equal(width) => {
                Starts::Equal((start..end).step_by(usize::try_from(*width).unwrap_or(usize::MAX)))
            }
            Self::Days { .. } => Starts::Edges(self.edges(start, end).iter()),
        }
    }

    /// Returns the edges of `Days` in [start, end).
    pub(crate) fn edges(&self, start: i64, end: i64) -> &[i64] {
        let Self::Days { edges, .. } = self else { return &[] };
        let at = |time: i64| edges.partition_point(|&edge| edge < time);
        edges.get(at(start)..at(end)).unwrap_or(&[])
    }

    /// Returns the width of a bucket in microseconds. Local days count as 24 hours. Returns `None`
    /// for `Points`.
    pub(crate) fn width(&self) -> Option<i64> {
        match self {
            Self::Points => None,
            Self::Equal(width) => Some(*width),
            Self::Days { days, .. } => Some(days * DAY),
        }
    }

    /// Returns whether every bucket consists of whole buckets of this width.
    pub(crate) fn consists_of(&self, width: i64) -> bool {
        match self {
            Self::Points => false,
            Self::Equal(own) => own % width == 0,
            Self::Days { edges, .. } => edges.iter().all(|edge| edge.rem_euclid(width) == 0),
        }
    }
}

/// Buckets of `days` local days of a time zone, numbered from the one that begins on Monday
/// 2000-01-03. A day lasts from the first instant of its local date to the first instant of the
/// next date. If clocks are set back over midnight, the repeated hour of the old date belongs to
/// the new day.
pub(crate) struct LocalDays<'a> {
    pub(crate) zone: &'a TimeZone,
    pub(crate) days: i64,
}

impl LocalDays<'_> {
    /// Returns the number of the bucket that contains the time.
    pub(crate) fn number(&self, micros: i64) -> i64 {
        let offset = Timestamp::from_microsecond(micros)
            .map_or(0, |time| self.zone.to_offset(time).seconds());
        let day = (micros + i64::from(offset) * 1_000_000 - ORIGIN).div_euclid(DAY);
        let mut number = day.div_euclid(self.days);
        // The local date gives the number, except for times that repeat the previous date or that
        // belong to a skipped date.
        while self.edge(number + 1) <= micros {
            number += 1;
        }
        while self.edge(number) > micros {
            number -= 1;
        }
        number
    }

    /// Returns the first instant of a bucket: local midnight. If clocks are set back over midnight,
    /// that is the first of the two; if they skip it, the first instant afterwards.
    pub(crate) fn edge(&self, number: i64) -> i64 {
        let utc = ORIGIN + number * self.days * DAY;
        let local = Timestamp::from_microsecond(utc).and_then(|time| {
            let date = Offset::UTC.to_datetime(time).date();
            Ok(date.to_zoned(self.zone.clone())?.start_of_day()?.timestamp().as_microsecond())
        });
        local.unwrap_or(utc) // outside the supported calendar, where no point can be
    }

    /// Returns a grid whose edges cover [start, end), and `before` more buckets before it.
    pub(crate) fn grid(&self, start: i64, end: i64, before: i64) -> Grid {
        let numbers = self.number(start) - before..=self.number(end - 1) + 1;
        let mut edges: Vec<i64> = numbers.map(|number| self.edge(number)).collect();
        // A day that a zone skipped begins where the next day begins, as in Samoa in 2011.
        edges.dedup();
        Grid::Days { days: self.days, edges: edges.into() }
    }
}

#[cfg(test)]
mod every_zone;

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZoneDatabase;

    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn micros(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    fn days(zone: &str, start: &str, end: &str) -> Vec<i64> {
        let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
        let Grid::Days { edges, .. } =
            LocalDays { zone: &zone, days: 1 }.grid(micros(start), micros(end), 0)
        else {
            unreachable!("local days have edges")
        };
        edges.to_vec()
    }

    #[test]
    fn widths_are_counted_from_a_monday_and_extend_into_the_past() {
        let weeks = Grid::Equal(7 * DAY);
        assert_eq!(weeks.floor(micros("2026-11-25T10:00:00Z")), micros("2026-11-23T00:00:00Z"));
        assert_eq!(weeks.ceil(micros("1999-12-28T00:00:00Z")), micros("2000-01-03T00:00:00Z"));
        assert_eq!(weeks.ceil(ORIGIN), ORIGIN);
        assert_eq!(Grid::Equal(60_000_000).floor(-1), -60_000_000);
        assert_eq!(weeks.count(ORIGIN, ORIGIN + 21 * DAY), 3);
    }

    #[test]
    fn local_days_have_23_24_or_25_hours() {
        let lengths = |edges: Vec<i64>| {
            edges.windows(2).map(|pair| (pair[1] - pair[0]) / HOUR).collect::<Vec<_>>()
        };
        assert_eq!(
            lengths(days("Europe/Berlin", "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z")),
            [24, 23, 24]
        );
        assert_eq!(
            lengths(days("Europe/Berlin", "2026-10-24T00:00:00Z", "2026-10-25T12:00:00Z")),
            [24, 25]
        );
        assert_eq!(
            days("Asia/Kolkata", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z")[0] % HOUR,
            HOUR / 2
        );
        assert_eq!(
            lengths(days("America/New_York", "2050-03-13T12:00:00Z", "2050-03-13T20:00:00Z")),
            [23],
            "the zone's rules apply to the future"
        );
    }

    #[test]
    fn a_day_begins_at_the_first_instant_of_its_local_date() {
        // Clocks in Sao Paulo went from 23:59:59 to 01:00:00. Samoa skipped 2011-12-30.
        let edges = days("America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T13:00:00Z");
        assert_eq!(edges[0], micros("2018-11-04T03:00:00Z"));
        let edges = days("Pacific/Apia", "2011-12-29T12:00:00Z", "2011-12-31T12:00:00Z");
        assert!(edges.is_sorted_by(|one, next| one < next), "{edges:?}");
    }

    #[test]
    fn a_date_that_occurs_twice_ends_where_the_next_one_first_begins() {
        // Clocks in St John's went from 00:01 on the 7th back to 23:01 on the 6th.
        let edges = days("America/St_Johns", "2010-11-06T12:00:00Z", "2010-11-07T03:00:00Z");
        let expected = ["2010-11-06T02:30:00Z", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"];
        assert_eq!(edges, expected.map(micros));
        let zone = TimeZoneDatabase::bundled().get("America/St_Johns").unwrap();
        let days = LocalDays { zone: &zone, days: 1 };
        let number = |text| days.number(micros(text));
        assert_eq!(number("2010-11-07T02:29:59Z") + 1, number("2010-11-07T02:30:00Z"));
        assert_eq!(
            number("2010-11-07T02:30:00Z"),
            number("2010-11-07T03:00:00Z"),
            "the previous date is repeated"
        );
    }

    #[test]
    fn steps_lead_from_edge_to_edge() {
        let zone = TimeZoneDatabase::bundled().get("Europe/Berlin").unwrap();
        let start = micros("2026-03-28T12:00:00Z");
        let grid = LocalDays { zone: &zone, days: 1 }.grid(start, start + 2 * DAY, 3);
        let first = grid.floor(start);
        assert_eq!(grid.step(first, 1) - first, 24 * HOUR);
        assert_eq!(grid.step(first, 2) - grid.step(first, 1), 23 * HOUR);
        assert_eq!(grid.step(grid.step(first, 2), -2), first);
        assert_eq!(grid.starts(first, grid.ceil(start + 2 * DAY)).count(), 3);
        assert!(grid.consists_of(HOUR) && !grid.consists_of(DAY));
    }
}

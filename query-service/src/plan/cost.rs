//! Decides whether buckets are computed faster from points than from minutes. Pure.
//!
//! The minutes of one series are scattered over the table of the rollup. Compacted points are
//! stored together, column by column. Up to four compacted points per minute are read faster than
//! one row of the minute rollup: averages of ten minutes over 21 days, with a point every 30 s,
//! took 18 ms instead of 43 ms. Points that are not compacted are as scattered as minutes.

use shared::granularity::Granularity;
use shared::proto::v1::Statistic;

use super::Plan;
use crate::plan::Grid;

/// The time to read one row, in units of 0.1 µs. Measured on TimescaleDB 2.28 with all data in
/// memory.
const MINUTE_ROW: u64 = 15;
const COMPACTED_POINT: u64 = 3;
const SCATTERED_POINT: u64 = 20;
/// The extra time per point for a statistic that needs points in order.
const IN_ORDER: u64 = 3;
/// The extra time per point for a statistic that needs squares.
const SQUARED: u64 = 2;
/// Points are read only if they take at most this fraction of the time for minutes, because the
/// costs are estimates.
const MARGIN: (u64, u64) = (4, 5);
/// Fewer minutes take a few milliseconds from either source, so that the choice does not matter.
const MIN_MINUTES: u64 = 2_000;

/// The size of one day of the queried series, according to the hourly rollup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DayOfPoints {
    pub(crate) points: u64,
    /// An upper bound for the rows of the minute rollup.
    pub(crate) minutes: u64,
    pub(crate) is_compacted: bool,
}

impl Plan {
    /// Returns whether points may be faster, so that counting them is worth a statement: the plan
    /// groups many minutes into wider buckets.
    pub(crate) fn may_read_points(&self, series: usize) -> bool {
        let [segment] = &self.segments[..] else { return false };
        let is_grouped = segment.grid != Grid::of(Granularity::Minute);
        let minutes = (self.end - self.start) / 60_000_000;
        let rows = minutes.unsigned_abs().saturating_mul(series as u64);
        segment.source == Granularity::Minute && is_grouped && rows >= MIN_MINUTES
    }

    /// Replaces minutes by points as the source if that is faster.
    pub(crate) fn with_faster_source(
        mut self,
        statistics: &[Statistic],
        days: &[DayOfPoints],
    ) -> Self {
        let points: u64 = days.iter().map(|day| day.points).sum();
        let minutes: u64 = days.iter().map(|day| day.minutes).sum();
        if let [segment] = &mut self.segments[..]
            && minutes >= MIN_MINUTES
            && cost_of_points(statistics, days).saturating_mul(MARGIN.1)
                <= (minutes * MINUTE_ROW).saturating_mul(MARGIN.0)
        {
            segment.source = Granularity::Raw;
            self.explanation += &format!(
                "; points are read instead, because about {points} of them take less time than \
                 {minutes} minutes"
            );
        }
        self
    }
}

fn cost_of_points(statistics: &[Statistic], days: &[DayOfPoints]) -> u64 {
    let more = |statistic: &Statistic| match statistic {
        Statistic::First | Statistic::Last => IN_ORDER,
        Statistic::Stddev => SQUARED,
        _ => 0,
    };
    let more: u64 = statistics.iter().map(more).sum();
    let cost = |day: &DayOfPoints| {
        let point = if day.is_compacted { COMPACTED_POINT } else { SCATTERED_POINT };
        day.points.saturating_mul(point + more)
    };
    days.iter().map(cost).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use shared::proto::v1::GranularityReason;

    use super::*;
    use crate::plan::{DAY, Segment};

    const MINUTE: i64 = 60_000_000;

    fn plan(source: Granularity, width: i64, days: i64) -> Plan {
        let segment = Segment { source, grid: Grid::Equal(width), start: 0, end: days * DAY };
        let reason = GranularityReason::BucketWidth;
        let explanation = "requested".to_owned();
        Plan { reason, explanation, start: 0, end: days * DAY, segments: vec![segment] }
    }

    fn days(count: i64, points_a_minute: u64, is_compacted: bool) -> Vec<DayOfPoints> {
        let day = |_| DayOfPoints { points: 1_440 * points_a_minute, minutes: 1_440, is_compacted };
        (0..count).map(day).collect()
    }

    fn source(statistics: &[Statistic], days: &[DayOfPoints]) -> Granularity {
        plan(Granularity::Minute, 10 * MINUTE, 30)
            .with_faster_source(statistics, days)
            .granularity()
    }

    #[test]
    fn few_compacted_points_are_read_instead_of_minutes() {
        assert_eq!(source(&[Statistic::Avg], &days(30, 2, true)), Granularity::Raw);
        assert_eq!(
            source(&[Statistic::Avg], &days(30, 60, true)),
            Granularity::Minute,
            "one point per second"
        );
        assert_eq!(
            source(&[Statistic::Avg], &days(30, 1, false)),
            Granularity::Minute,
            "as scattered as minutes"
        );
        let all = [Statistic::Avg, Statistic::First, Statistic::Last, Statistic::Stddev];
        assert_eq!(source(&all, &days(30, 2, true)), Granularity::Minute);
        let mixed = [days(23, 2, true), days(7, 2, false)].concat();
        assert_eq!(
            source(&[Statistic::Max], &mixed),
            Granularity::Minute,
            "a week of scattered points"
        );
        let mixed = [days(29, 2, true), days(1, 2, false)].concat();
        assert_eq!(source(&[Statistic::Max], &mixed), Granularity::Raw);
    }

    #[test]
    fn the_explanation_states_the_counts_that_the_choice_depends_on() {
        let plan = plan(Granularity::Minute, 10 * MINUTE, 30)
            .with_faster_source(&[Statistic::Avg], &days(30, 2, true));
        let expected = "requested; points are read instead, because about 86400 of them take \
                        less time than 43200 minutes";
        assert_eq!(plan.explanation, expected);
        assert_eq!(plan.reason, GranularityReason::BucketWidth);
    }

    #[test]
    fn minutes_are_read_if_the_counts_are_unknown_or_small() {
        assert_eq!(source(&[Statistic::Avg], &[]), Granularity::Minute);
        assert_eq!(source(&[Statistic::Avg], &days(1, 2, true)), Granularity::Minute);
        assert!(plan(Granularity::Minute, 10 * MINUTE, 30).may_read_points(1));
        assert!(!plan(Granularity::Minute, 10 * MINUTE, 1).may_read_points(1), "few rows");
        assert!(plan(Granularity::Minute, 10 * MINUTE, 1).may_read_points(2));
        assert!(
            !plan(Granularity::Minute, MINUTE, 30).may_read_points(1),
            "the buckets of the rollup itself"
        );
        assert!(!plan(Granularity::Hour, 120 * MINUTE, 300).may_read_points(1));
    }
}

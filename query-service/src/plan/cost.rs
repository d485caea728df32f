//! Whether buckets are computed faster from points than from the minutes that they are made of. Pure.
//!
//! Minutes of one series lie scattered over the table of the rollup. Points that are compacted lie together, column by column: up
//! to four points a minute, reading them takes less time than reading one row of the minute (averages of ten minutes over 21 days
//! of a point every 30 s: 18 ms, not 43 ms). Points that are not compacted lie scattered like minutes.

use shared::granularity::Granularity;
use shared::proto::v1::Statistic;

use super::Plan;
use crate::plan::Grid;

/// What one row takes, in units of 0.1 µs, as measured on TimescaleDB 2.28 with all of it in memory.
const MINUTE_ROW: u64 = 15;
const COMPACTED_POINT: u64 = 3;
const SCATTERED_POINT: u64 = 20;
/// What one point takes more where a statistic needs it in order, or needs its square.
const IN_ORDER: u64 = 3;
const SQUARED: u64 = 2;
/// Points must take at most this part of the time: figures are estimates, and minutes are what was read always.
const MARGIN: (u64, u64) = (4, 5);
/// Fewer rows are read within some milliseconds either way.
const FEWEST_MINUTES: u64 = 2_000;

/// What the hours say of a day of the series that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DayOfPoints {
    pub(crate) points: u64,
    /// Rows of the minutes, at most.
    pub(crate) minutes: u64,
    pub(crate) is_compacted: bool,
}

impl Plan {
    /// Whether it may be worth asking how many points there are: buckets of a width or a time zone, grouped from many minutes.
    pub(crate) fn may_read_points(&self, series: usize) -> bool {
        let [segment] = &self.segments[..] else { return false };
        let is_grouped = segment.grid != Grid::of(Granularity::Minute);
        let minutes = (self.end - self.start) / 60_000_000;
        let rows = minutes.unsigned_abs().saturating_mul(series as u64);
        segment.source == Granularity::Minute && is_grouped && rows >= FEWEST_MINUTES
    }

    /// Reads points instead of minutes where that is faster.
    pub(crate) fn of_the_faster(mut self, statistics: &[Statistic], days: &[DayOfPoints]) -> Self {
        let points: u64 = days.iter().map(|day| day.points).sum();
        let minutes: u64 = days.iter().map(|day| day.minutes).sum();
        if let [segment] = &mut self.segments[..]
            && minutes >= FEWEST_MINUTES
            && cost_of_points(statistics, days).saturating_mul(MARGIN.1)
                <= (minutes * MINUTE_ROW).saturating_mul(MARGIN.0)
        {
            segment.source = Granularity::Raw;
            self.explanation += &format!(
                "; points are read instead: some {points} of them take less time than {minutes} minutes"
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
        let (reason, explanation) = (GranularityReason::BucketWidth, "as asked".to_owned());
        Plan { reason, explanation, start: 0, end: days * DAY, segments: vec![segment] }
    }

    fn days(count: i64, points_a_minute: u64, is_compacted: bool) -> Vec<DayOfPoints> {
        let day = |_| DayOfPoints { points: 1_440 * points_a_minute, minutes: 1_440, is_compacted };
        (0..count).map(day).collect()
    }

    fn source(statistics: &[Statistic], days: &[DayOfPoints]) -> Granularity {
        plan(Granularity::Minute, 10 * MINUTE, 30).of_the_faster(statistics, days).granularity()
    }

    #[test]
    fn few_points_that_are_compacted_are_read_instead_of_minutes() {
        assert_eq!(source(&[Statistic::Avg], &days(30, 2, true)), Granularity::Raw);
        assert_eq!(
            source(&[Statistic::Avg], &days(30, 60, true)),
            Granularity::Minute,
            "a point a second"
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
    fn a_choice_says_what_it_rests_on() {
        let plan = plan(Granularity::Minute, 10 * MINUTE, 30)
            .of_the_faster(&[Statistic::Avg], &days(30, 2, true));
        let said = "as asked; points are read instead: some 86400 of them take less time than 43200 minutes";
        assert_eq!(plan.explanation, said);
        assert_eq!(plan.reason, GranularityReason::BucketWidth);
    }

    #[test]
    fn what_is_not_known_or_little_stays_as_it_is() {
        assert_eq!(source(&[Statistic::Avg], &[]), Granularity::Minute);
        assert_eq!(source(&[Statistic::Avg], &days(1, 2, true)), Granularity::Minute);
        assert!(plan(Granularity::Minute, 10 * MINUTE, 30).may_read_points(1));
        assert!(!plan(Granularity::Minute, 10 * MINUTE, 1).may_read_points(1), "few rows");
        assert!(plan(Granularity::Minute, 10 * MINUTE, 1).may_read_points(2));
        assert!(
            !plan(Granularity::Minute, MINUTE, 30).may_read_points(1),
            "as they stand in the rollup"
        );
        assert!(!plan(Granularity::Hour, 120 * MINUTE, 300).may_read_points(1));
    }
}

//! Decides what one statement reads: many series for a short answer, or a range of one series for a
//! long one. Pure.

use crate::plan::{Plan, Segment};

/// A range of a segment that one statement reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ReadRange<'a> {
    pub(super) segment: &'a Segment,
    /// [start, end) in microseconds, on edges of the segment's grid.
    pub(super) start: i64,
    pub(super) end: i64,
}

/// Returns how many answers are read together: as many as fit into a page, but at least one.
pub(super) fn answers_per_page(plan: &Plan, page_rows: usize) -> usize {
    let buckets = usize::try_from(plan.bucket_count()).unwrap_or(usize::MAX).max(1);
    (page_rows / buckets).max(1)
}

/// Returns the ranges of a plan within `extent`, in groups of at most `page_rows` buckets. Each
/// group is read before any of it is sent.
pub(super) fn groups<'a>(
    plan: &'a Plan,
    extent: (i64, i64),
    page_rows: usize,
) -> impl Iterator<Item = Vec<ReadRange<'a>>> + 'a {
    let whole = usize::try_from(plan.bucket_count()).is_ok_and(|buckets| buckets <= page_rows);
    let all: Vec<ReadRange<'a>> =
        if whole { plan.segments.iter().map(ReadRange::whole).collect() } else { Vec::new() };
    let step = i64::try_from(page_rows).unwrap_or(i64::MAX);
    let segments = if whole { &[][..] } else { &plan.segments[..] };
    let pages = segments
        .iter()
        .flat_map(move |segment| pages(segment, extent, step))
        .map(|range| vec![range]);
    std::iter::once(all).filter(|ranges| !ranges.is_empty()).chain(pages)
}

fn pages(
    segment: &Segment,
    (first, last): (i64, i64),
    step: i64,
) -> impl Iterator<Item = ReadRange<'_>> {
    let end = segment.end.min(segment.grid.ceil(last));
    let begin = segment.start.max(segment.grid.floor(first));
    let starts =
        std::iter::successors(Some(begin), move |&start| Some(segment.grid.step(start, step)));
    starts.take_while(move |&start| start < end).map(move |start| ReadRange {
        segment,
        start,
        end: segment.grid.step(start, step).min(end),
    })
}

impl<'a> ReadRange<'a> {
    fn whole(segment: &'a Segment) -> Self {
        Self { segment, start: segment.start, end: segment.end }
    }
}

#[cfg(test)]
mod tests {
    use shared::granularity::Granularity;
    use shared::proto::v1::GranularityReason;

    use super::*;
    use crate::plan::Grid;

    const MINUTE: i64 = 60_000_000;

    /// Returns a plan of two buckets of an hour, and then ten of a minute.
    fn plan() -> Plan {
        let segment = |source, width, start, end| Segment {
            source,
            grid: Grid::Equal(width * MINUTE),
            start: start * MINUTE,
            end: end * MINUTE,
        };
        let segments =
            vec![segment(Granularity::Hour, 60, 0, 120), segment(Granularity::Minute, 1, 120, 130)];
        Plan {
            reason: GranularityReason::Retention,
            explanation: String::new(),
            start: 0,
            end: 130 * MINUTE,
            segments,
        }
    }

    fn minutes(plan: &Plan, extent: (i64, i64), page_rows: usize) -> Vec<Vec<(i64, i64)>> {
        let minutes = |range: &ReadRange<'_>| (range.start / MINUTE, range.end / MINUTE);
        groups(plan, extent, page_rows).map(|ranges| ranges.iter().map(minutes).collect()).collect()
    }

    #[test]
    fn short_answers_are_read_together() {
        assert_eq!(answers_per_page(&plan(), 25), 2);
        assert_eq!(minutes(&plan(), (i64::MIN / 2, i64::MAX / 2), 25), [[(0, 120), (120, 130)]]);
    }

    #[test]
    fn long_answers_are_read_page_by_page_within_the_extent_of_the_data() {
        assert_eq!(answers_per_page(&plan(), 4), 1);
        let all = [[(0, 120)], [(120, 124)], [(124, 128)], [(128, 130)]];
        assert_eq!(minutes(&plan(), (i64::MIN / 2, i64::MAX / 2), 4), all);
        assert_eq!(
            minutes(&plan(), (61 * MINUTE, 125 * MINUTE), 4),
            [[(60, 120)], [(120, 124)], [(124, 125)]]
        );
        assert!(minutes(&plan(), (200 * MINUTE, 300 * MINUTE), 4).is_empty());
    }
}

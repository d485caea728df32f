//! Checks of properties that must hold for any plan.

use shared::time;

use super::DAY;
use crate::plan::{Grid, Plan, Segment};
use crate::validate::{AggregatedQuery, GapFill};

/// Checks the interval of a query.
pub(super) fn check_interval(start: i64, end: i64, may_be_empty: bool) {
    assert!(start < end || (may_be_empty && start == end), "an interval is not empty");
    [start, end].into_iter().for_each(check_timestamp);
}

/// Checks that a time that is reported to the client can be encoded in protobuf.
pub(super) fn check_timestamp(micros: i64) {
    assert!(
        time::from_timestamp(&time::to_timestamp(micros)).is_some(),
        "{} is not a protobuf timestamp",
        time::display(micros)
    );
}

pub(super) fn check_aggregated(query: &AggregatedQuery, plan: &Plan) {
    check(plan, (query.start, query.end));
    let of_points = plan.segments.iter().any(|segment| segment.grid == Grid::Points);
    assert!(
        !of_points || (query.gap_fill == GapFill::None && !query.combine_devices),
        "gap filling and combined devices need buckets"
    );
    let automatic = query.granularity.is_none() && query.bucket_width.is_none();
    let most = query.max_points.or(automatic.then_some(AggregatedQuery::DEFAULT_MAX_POINTS));
    if let Some(most) = most.filter(|_| query.granularity.is_none()) {
        // A coarser bucket may extend further than the finer ones that it replaces.
        let extra = plan.segments.len() as u64;
        assert!(
            plan.bucket_count() < u64::from(most) + extra,
            "{} buckets, not {most}",
            plan.bucket_count()
        );
    }
    let read_from = plan.read_from(query.gap_fill);
    assert!(read_from <= plan.start && plan.start - read_from <= 101 * 36_525 * DAY, "{read_from}");
}

/// Checks that the segments cover the interval in whole buckets, without gaps or overlaps.
pub(super) fn check(plan: &Plan, (start, end): (i64, i64)) {
    assert!(plan.start <= start && plan.end >= end, "the interval is covered: {plan:?}");
    let mut next = plan.start;
    for segment in &plan.segments {
        assert_eq!(segment.start, next, "segments meet: {plan:?}");
        check_segment(segment);
        next = segment.end;
    }
    assert_eq!(next, plan.end, "the last segment ends with the plan: {plan:?}");
    assert!(!plan.segments.is_empty() && !plan.explanation.is_empty());
    let header = plan.header(None, 1);
    let timestamps = header.segments.iter().flat_map(|segment| [&segment.start, &segment.end]);
    for timestamp in timestamps.chain([&header.effective_start, &header.effective_end]).flatten() {
        assert!(
            time::from_timestamp(timestamp).is_some(),
            "{timestamp:?} is not a protobuf timestamp: {plan:?}"
        );
    }
}

fn check_segment(segment: &Segment) {
    let Segment { grid, start, end, .. } = segment;
    let may_be_empty = *grid == Grid::Points;
    assert!(start < end || (may_be_empty && start == end), "a segment is not empty: {segment:?}");
    assert_eq!(
        (grid.floor(*start), grid.ceil(*end)),
        (*start, *end),
        "a segment begins and ends on an edge of a bucket"
    );
    if *grid != Grid::Points {
        assert!(grid.count(*start, *end) > 0);
        assert_eq!(grid.starts(*start, *end).next(), Some(*start));
        assert!(grid.step(*start, 1) > *start && grid.step(*start, 1) <= *end, "{segment:?}");
    }
}

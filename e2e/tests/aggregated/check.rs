//! Comparison of an answer with brute force.

use std::collections::BTreeMap;

use shared::proto::v1::{
    self, BucketsFrame, GapFill, QueryAggregatedRequest, QueryHeader, Statistic,
};
use shared::time;

use crate::brute::{Expected, Points, close, column};
use crate::random;
use crate::stage::{Stage, micros};

/// Compares one answer with brute force. Returns the number of its buckets.
pub(crate) async fn check(
    stage: &mut Stage,
    request: &QueryAggregatedRequest,
    header: &QueryHeader,
    answers: &[BucketsFrame],
    what: &str,
) -> usize {
    let start = micros(request.start.as_ref());
    let end = micros(request.end.as_ref());
    let covered = (micros(header.effective_start.as_ref()), micros(header.effective_end.as_ref()));
    let Some(width) = header.bucket_width.as_ref().map(|width| width.seconds * 1_000_000) else {
        return check_points(stage, request, answers, what);
    };
    let edges = stage.edges(width, &request.time_zone).await;
    let first = edges.partition_point(|&edge| edge <= start) - 1;
    let last = edges.partition_point(|&edge| edge < end);
    assert_eq!(covered, (edges[first], edges[last]), "{what}: the answer must cover whole buckets");
    if request.granularity() == v1::Granularity::Auto && request.bucket_width.is_none() {
        let most = if request.max_points == 0 { 1_000 } else { request.max_points as usize };
        assert!(last - first <= most, "{what}: {} buckets", last - first);
    }
    let expected = random::expected_answers(request, stage.series.keys());
    let mut found = answers.iter().peekable();
    let mut rows = 0;
    for (key, selector_index, devices) in expected {
        let series: Vec<&Points> = devices.iter().map(|device| &stage.series[device]).collect();
        let buckets: Vec<(i64, Expected)> = (first..last)
            .map(|at| (edges[at], Expected::of(&series, (edges[at], edges[at + 1]))))
            .collect();
        let filled = request.gap_fill() != GapFill::None;
        let starts: Vec<i64> = buckets
            .iter()
            .filter(|(_, bucket)| filled || bucket.count > 0)
            .map(|(start, _)| *start)
            .collect();
        let here = |frame: &&&BucketsFrame| {
            frame.series.as_ref() == Some(&key) && frame.selector_index == selector_index
        };
        if starts.is_empty() {
            assert!(found.peek().filter(here).is_none(), "{what}: unexpected buckets for {key:?}");
            continue;
        }
        let frame = found
            .next()
            .filter(|frame| here(&frame))
            .unwrap_or_else(|| panic!("{what}: {key:?} is missing"));
        assert_eq!(frame.bucket_starts_us, starts, "{what}: buckets of {key:?}");
        let before = (first.saturating_sub(100)..first)
            .rev()
            .map(|at| Expected::of(&series, (edges[at], edges[at + 1])))
            .find(|bucket| bucket.count > 0);
        // Sums of values around 1e9 have steps of 1e-7 or more, which limits a deviation.
        let leeway =
            if devices.iter().any(|device| device.ends_with("large")) { 1e-6 } else { 0.0 };
        check_columns(request, frame, &buckets, before.as_ref(), leeway, what);
        rows += starts.len();
    }
    assert!(found.next().is_none(), "{what}: unexpected frames");
    rows
}

fn check_columns(
    request: &QueryAggregatedRequest,
    frame: &BucketsFrame,
    buckets: &[(i64, Expected)],
    before: Option<&Expected>,
    leeway: f64,
    what: &str,
) {
    let asked = random::asked(request);
    let with_points: BTreeMap<i64, &Expected> = buckets
        .iter()
        .filter(|(_, bucket)| bucket.count > 0)
        .map(|(start, bucket)| (*start, bucket))
        .collect();
    let counts: Vec<u64> = frame
        .bucket_starts_us
        .iter()
        .map(|start| with_points.get(start).map_or(0, |bucket| bucket.count))
        .collect();
    let counts_asked = asked.contains(&Statistic::Count);
    assert_eq!(frame.count, if counts_asked { counts } else { vec![] }, "{what}: counts");
    for statistic in random::VALUES {
        let column = column(frame, statistic);
        if !asked.contains(&statistic) {
            assert!(column.is_empty(), "{what}: unrequested {statistic:?}");
            continue;
        }
        assert_eq!(column.len(), frame.bucket_starts_us.len(), "{what}: {statistic:?}");
        let leeway = if statistic == Statistic::Stddev { leeway } else { 0.0 };
        let at = |start: i64| column[frame.bucket_starts_us.binary_search(&start).unwrap()];
        for (&start, &found) in frame.bucket_starts_us.iter().zip(column) {
            let accepted = match with_points.get(&start) {
                Some(bucket) => bucket.values(statistic),
                None => {
                    let left =
                        with_points.range(..start).next_back().map(|(&left, _)| (left, at(left)));
                    let right =
                        with_points.range(start..).next().map(|(&right, _)| (right, at(right)));
                    random::fillings(request.gap_fill(), statistic, start, left, right, before)
                }
            };
            let right = accepted.iter().any(|&expected| close(found, expected, leeway));
            let when = time::display(start);
            assert!(right, "{what}: {statistic:?} at {when} is {found}, expected {accepted:?}");
        }
    }
}

/// Compares raw points. Each point is a bucket.
fn check_points(
    stage: &Stage,
    request: &QueryAggregatedRequest,
    answers: &[BucketsFrame],
    what: &str,
) -> usize {
    let interval = micros(request.start.as_ref())..micros(request.end.as_ref());
    let mut found = answers.iter();
    let mut rows = 0;
    for (key, _, devices) in random::expected_answers(request, stage.series.keys()) {
        let mut points: Points = stage.series[&devices[0]]
            .iter()
            .filter(|point| interval.contains(&point.0))
            .copied()
            .collect();
        if points.is_empty() {
            continue;
        }
        let frame = found.next().unwrap_or_else(|| panic!("{what}: {key:?} is missing"));
        assert_eq!(frame.series.as_ref(), Some(&key), "{what}");
        assert!(frame.bucket_starts_us.is_sorted(), "{what}");
        points.sort_by(|one, other| one.partial_cmp(other).unwrap());
        for statistic in
            random::asked(request).into_iter().filter(|&asked| asked != Statistic::Count)
        {
            let column = column(frame, statistic);
            if statistic == Statistic::Stddev {
                assert!(
                    column.len() == points.len() && column.iter().all(|value| value.is_nan()),
                    "{what}"
                );
                continue;
            }
            let sent: Points =
                frame.bucket_starts_us.iter().copied().zip(column.iter().copied()).collect();
            assert_eq!(sent, points, "{what}: {statistic:?} of {key:?}");
        }
        rows += points.len();
    }
    rows
}

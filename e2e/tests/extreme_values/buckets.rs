//! `QueryAggregated` compared with arithmetic.

use std::collections::BTreeMap;

use e2e::at;
use shared::proto::v1::{
    BucketsFrame, Combine, Granularity, QueryAggregatedRequest, SeriesSelector, Statistic,
    query_aggregated_response::Frame, series_selector::Device,
};
use shared::time;

use crate::values::Points;
use crate::{DAY, HOUR, MINUTE, Stage};

/// Granularities, each with the requested bucket width.
const LEVELS: [(Granularity, i64); 5] = [
    (Granularity::Raw, MINUTE),
    (Granularity::Minute, MINUTE),
    (Granularity::Minute, 7 * MINUTE),
    (Granularity::Hour, HOUR),
    (Granularity::Day, DAY),
];
const STATISTICS: [Statistic; 9] = [
    Statistic::Avg,
    Statistic::Max,
    Statistic::Min,
    Statistic::Sum,
    Statistic::Count,
    Statistic::First,
    Statistic::Last,
    Statistic::Stddev,
    Statistic::Rate,
];

/// Checks every statistic of every granularity, for each series and for all series combined.
pub(crate) async fn check(stage: &Stage, what: &str) {
    for (granularity, width) in LEVELS {
        for combine in [Combine::Series, Combine::Devices] {
            let answers = ask(stage, granularity, width, combine).await;
            let what = format!("{what}, {granularity:?} of {width} us, {combine:?}");
            if combine == Combine::Devices {
                let all: Vec<&Points> = stage.series.values().collect();
                check_answer(&answers[""], &all, width, &what);
                continue;
            }
            assert_eq!(answers.len(), stage.series.len(), "{what}");
            for (device, frame) in &answers {
                check_answer(frame, &[&stage.series[device]], width, &format!("{what}, {device}"));
            }
        }
    }
}

/// Queries frames by device. RATE is computed from raw points, as are FIRST and LAST of several
/// devices.
async fn ask(
    stage: &Stage,
    granularity: Granularity,
    width: i64,
    combine: Combine,
) -> BTreeMap<String, BucketsFrame> {
    let from_points = granularity == Granularity::Raw;
    let asked = STATISTICS.into_iter().filter(|statistic| match statistic {
        Statistic::Rate => from_points,
        Statistic::First | Statistic::Last => from_points || combine == Combine::Series,
        _ => true,
    });
    let request = QueryAggregatedRequest {
        selectors: vec![SeriesSelector {
            device: Some(Device::DeviceIdPrefix(String::new())),
            metric_name: "temperature".to_owned(),
        }],
        start: at(stage.later - 8 * DAY),
        end: at(stage.later + DAY),
        granularity: granularity as i32,
        bucket_width: Some(time::to_duration(width)),
        statistics: asked.map(|statistic| statistic as i32).collect(),
        combine: combine as i32,
        ..Default::default()
    };
    let mut frames =
        stage.services.query.clone().query_aggregated(request).await.unwrap().into_inner();
    let mut answers: BTreeMap<String, BucketsFrame> = BTreeMap::new();
    while let Some(response) = frames.message().await.unwrap() {
        if let Some(Frame::Buckets(frame)) = response.frame {
            let all = answers.entry(frame.series.clone().unwrap().device_id).or_default();
            all.bucket_starts_us.extend(frame.bucket_starts_us);
            all.count.extend(frame.count);
            for (all, part) in columns(all).into_iter().zip([
                frame.avg,
                frame.max,
                frame.min,
                frame.sum,
                frame.first,
                frame.last,
                frame.stddev,
                frame.rate,
            ]) {
                all.extend(part);
            }
        }
    }
    answers
}

fn columns(frame: &mut BucketsFrame) -> [&mut Vec<f64>; 8] {
    let BucketsFrame { avg, max, min, sum, first, last, stddev, rate, .. } = frame;
    [avg, max, min, sum, first, last, stddev, rate]
}

fn check_answer(frame: &BucketsFrame, series: &[&Points], width: i64, what: &str) {
    const MONDAY: i64 = 946_857_600_000_000;
    let start_of = |time: i64| time - (time - MONDAY).rem_euclid(width);
    let mut buckets: BTreeMap<i64, Vec<(i64, f64)>> = BTreeMap::new();
    for &(time, value) in series.iter().copied().flatten() {
        buckets.entry(start_of(time)).or_default().push((time, value));
    }
    assert_eq!(frame.bucket_starts_us, buckets.keys().copied().collect::<Vec<_>>(), "{what}");
    for (at, (&start, points)) in buckets.iter_mut().enumerate() {
        points.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
        let what = format!("{what}, bucket {at} of {} points", points.len());
        assert_eq!(frame.count[at], points.len() as u64, "{what}");
        check_values(frame, at, points, &what);
        if !frame.rate.is_empty() {
            check_rate(frame.rate[at], series, (start, start + width), &what);
        }
    }
}

/// Checks the values of one bucket. Extremes and ends must be exact. A sum may be off by rounding
/// relative to its largest summand. A deviation may be off by 1e-9 of the largest value, or by
/// 1e-150, below which squares underflow.
fn check_values(frame: &BucketsFrame, at: usize, points: &[(i64, f64)], what: &str) {
    let n = points.len() as f64;
    let values = || points.iter().map(|(_, value)| *value);
    let largest = values().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    assert_eq!(frame.max[at], values().fold(f64::MIN, f64::max), "{what}");
    assert_eq!(frame.min[at], values().fold(f64::MAX, f64::min), "{what}");
    if !frame.first.is_empty() {
        assert_eq!(
            (frame.first[at], frame.last[at]),
            (points[0].1, points[points.len() - 1].1),
            "{what}"
        );
    }
    let sum: f64 = values().sum();
    near(frame.sum[at], sum, n * largest * 1e-15, &format!("{what}: sum"));
    near(frame.avg[at], sum / n, largest * 1e-15 + f64::from_bits(1), &format!("{what}: avg"));
    if points.len() == 1 {
        assert!(frame.stddev[at].is_nan(), "{what}");
        return;
    }
    near(frame.stddev[at], deviation(points), largest * 1e-9 + 1e-150, &format!("{what}: stddev"));
}

fn check_rate(found: f64, series: &[&Points], (start, end): (i64, i64), what: &str) {
    let mut terms = Vec::new();
    for points in series {
        for pair in points
            .windows(2)
            .filter(|pair| (start..end).contains(&pair[1].0) && pair[1].0 - pair[0].0 <= DAY)
        {
            terms.push(if pair[1].1 >= pair[0].1 { pair[1].1 - pair[0].1 } else { pair[1].1 });
        }
    }
    if terms.is_empty() {
        assert!(found.is_nan(), "{what}: rate is {found}");
        return;
    }
    let seconds = (end - start) as f64 / 1e6;
    let largest = terms.iter().fold(0.0, |largest: f64, term| largest.max(term.abs()));
    let leeway = terms.len() as f64 * largest * 1e-15 / seconds + f64::from_bits(1);
    near(found, terms.iter().sum::<f64>() / seconds, leeway, &format!("{what}: rate"));
}

pub(crate) fn near(found: f64, expected: f64, leeway: f64, what: &str) {
    assert!(
        found == expected || (found - expected).abs() <= leeway.max(expected.abs() * 1e-12),
        "{what} is {found:e}, expected {expected:e} within {leeway:e}"
    );
}

/// Returns the sample standard deviation, from two passes. Values are scaled so that squares
/// neither overflow nor underflow.
pub(crate) fn deviation(points: &[(i64, f64)]) -> f64 {
    let n = points.len() as f64;
    let values = || points.iter().map(|(_, value)| *value);
    let largest = values().fold(f64::MIN_POSITIVE, |largest: f64, value| largest.max(value.abs()));
    let mean = values().map(|value| value / n).sum::<f64>();
    let squares = values().map(|value| ((value - mean) / largest).powi(2)).sum::<f64>();
    (squares / (n - 1.0)).sqrt() * largest
}

//! `DetectAnomalies` compared with arithmetic.

use e2e::at;
use shared::proto::v1::{
    AnomalyMethod, BaselineState, DetectAnomaliesRequest, DetectAnomaliesResponse, SeriesKey,
};
use shared::time;

use crate::buckets::{deviation, near};
use crate::values::Points;
use crate::{DAY, HOUR, Stage};

const THRESHOLD: f64 = 1.5;

/// Judges the later two hours of every series by the earlier two.
pub(crate) async fn check(stage: &Stage, what: &str) {
    let window = (stage.later, stage.later + 2 * HOUR);
    for (device, points) in &stage.series {
        for method in [AnomalyMethod::ZScore, AnomalyMethod::Robust, AnomalyMethod::Seasonal] {
            let request = DetectAnomaliesRequest {
                series: Some(SeriesKey {
                    device_id: device.clone(),
                    metric_name: "temperature".to_owned(),
                }),
                start: at(window.0),
                end: at(window.1),
                baseline: Some(time::to_duration(7 * DAY)),
                threshold: THRESHOLD,
                method: method as i32,
                min_baseline_count: 2,
                max_anomalies: 10_000,
                ..Default::default()
            };
            let answer = stage.services.query.clone().detect_anomalies(request).await;
            let what = format!("{what}, {device}, {method:?}");
            let answer = answer.unwrap_or_else(|status| panic!("{what}: {status}")).into_inner();
            check_answer(&answer, points, window, &what);
        }
    }
}

fn check_answer(answer: &DetectAnomaliesResponse, points: &Points, window: (i64, i64), what: &str) {
    let baseline = answer.baseline.unwrap();
    let earlier = (window.0 - 7 * DAY, window.0 - 7 * DAY + 2 * HOUR);
    let of_baseline = inside(points, earlier);
    assert_eq!(baseline.count, of_baseline.len() as u64, "{what}");
    let flat = of_baseline.iter().all(|(_, value)| *value == of_baseline[0].1);
    assert_eq!(baseline.state() == BaselineState::NoSpread, flat, "{what}");
    let largest = of_baseline.iter().fold(0.0, |largest: f64, (_, value)| largest.max(value.abs()));
    let n = of_baseline.len() as f64;
    let mean = of_baseline.iter().map(|(_, value)| value / n).sum();
    near(baseline.mean, mean, largest * 1e-12 + f64::from_bits(1) * n, &format!("{what}: mean"));
    let leeway = largest * 1e-9 + 1e-150;
    near(baseline.stddev, deviation(&of_baseline), leeway, &format!("{what}: stddev"));
    if let (AnomalyMethod::ZScore, Some(found)) = (answer.method(), answer.anomalies.first()) {
        near(
            found.upper_bound,
            baseline.mean + THRESHOLD * baseline.stddev,
            leeway,
            &format!("{what}: upper bound"),
        );
        near(
            found.lower_bound,
            baseline.mean - THRESHOLD * baseline.stddev,
            leeway,
            &format!("{what}: lower bound"),
        );
    }
    if let (Some(median), Some(deviation)) = (baseline.median, baseline.median_absolute_deviation) {
        let mut values: Vec<f64> = of_baseline.iter().map(|(_, value)| *value).collect();
        assert_eq!(median, middle(&mut values), "{what}: median");
        let mut distances: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
        assert_eq!(deviation, middle(&mut distances), "{what}: median deviation");
    }
    check_anomalies(answer, &inside(points, window), what);
}

/// Checks that the answer contains, in order, exactly the points of the window beyond its bounds.
/// With SEASONAL, the bounds are those of the hour.
fn check_anomalies(answer: &DetectAnomaliesResponse, window: &[(i64, f64)], what: &str) {
    assert_eq!(answer.tested_count, window.len() as u64, "{what}");
    let mut left = window.iter();
    for found in &answer.anomalies {
        let time = time::from_timestamp(&found.timestamp.unwrap()).unwrap();
        assert!(
            left.any(|point| *point == (time, found.value)),
            "{what}: out of order, or not a stored point: {found:?}"
        );
        assert!(
            found.value < found.lower_bound || found.value > found.upper_bound,
            "{what}: {found:?}"
        );
        assert!(found.lower_bound <= found.upper_bound && found.score >= 0.0, "{what}: {found:?}");
    }
    for hour in [0, HOUR] {
        let start = window.iter().map(|(time, _)| *time).min().unwrap_or_default();
        let start = start - start.rem_euclid(HOUR) + hour;
        let of_hour = |time: &i64| (start..start + HOUR).contains(time);
        let mut anomalies = answer
            .anomalies
            .iter()
            .filter(|found| of_hour(&time::from_timestamp(&found.timestamp.unwrap()).unwrap()));
        let Some(first) = anomalies.next() else { continue };
        let beyond = window.iter().filter(|(time, value)| {
            of_hour(time) && (*value < first.lower_bound || *value > first.upper_bound)
        });
        assert_eq!(beyond.count(), 1 + anomalies.count(), "{what}: anomalies are missing");
    }
}

fn inside(points: &Points, (start, end): (i64, i64)) -> Points {
    points.iter().filter(|(time, _)| (start..end).contains(time)).copied().collect()
}

fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { values[half - 1].midpoint(values[half]) }
}

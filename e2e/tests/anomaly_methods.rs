//! Every anomaly method's answer equals arithmetic over the raw points.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{OwnDatabase, Services, at, now, series, wait_until_serving};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use shared::granularity::Granularity;
use shared::proto::v1::{
    AnomalyDirection, AnomalyMethod, BaselineState, Batch, DetectAnomaliesRequest,
    DetectAnomaliesResponse, SeriesKey,
};
use shared::time;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
const MIN_COUNT: usize = 15;

type Points = Vec<(i64, f64)>;

/// Generates points with a daily wave, gaps, repeated timestamps, a flat hour each day and faults.
fn walk(random: &mut SmallRng, start: i64, end: i64) -> Points {
    let mut points = Vec::new();
    let mut time = start;
    while time < end {
        time += match random.random_range(0..100) {
            0 => random.random_range(HOUR..5 * HOUR),
            1..5 => 0,
            _ => random.random_range(30_000_000..400_000_000),
        };
        let hour = time.rem_euclid(DAY) / HOUR;
        let wave = 20.0 + 5.0 * (hour as f64 / 24.0 * std::f64::consts::TAU).sin();
        points.push((
            time,
            match random.random_range(0..200) {
                0 => wave + random.random_range(-40.0..40.0),
                _ if hour == 3 => 7.0,
                _ => wave + random.random_range(-1.0..1.0),
            },
        ));
    }
    points.retain(|(time, _)| *time < end);
    points
}

struct Stats {
    count: usize,
    center: f64,
    deviation: f64,
    flat: bool,
}

fn mean_and_stddev(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, if values.len() < 2 { f64::NAN } else { variance.sqrt() })
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

fn stats(values: &[f64], method: AnomalyMethod) -> Stats {
    let (mean, stddev) = mean_and_stddev(values);
    let flat = values.iter().all(|value| *value == values[0]);
    let (center, deviation) = match method {
        AnomalyMethod::Robust => {
            let center = median(values);
            let distances: Vec<f64> = values.iter().map(|value| (value - center).abs()).collect();
            let mean_distance = distances.iter().sum::<f64>() / distances.len() as f64;
            match median(&distances) {
                0.0 => (center, mean_distance * (std::f64::consts::PI / 2.0).sqrt()),
                mad => (center, mad * 1.482_602_218_505_602),
            }
        }
        _ => (mean, stddev),
    };
    Stats {
        count: values.len(),
        center: if flat && !values.is_empty() { values[0] } else { center },
        deviation,
        flat,
    }
}

fn values_in(points: &Points, wanted: impl Fn(i64) -> bool) -> Vec<f64> {
    points.iter().filter(|(time, _)| wanted(*time)).map(|(_, value)| *value).collect()
}

fn values_of_hour(points: &Points, (start, end): (i64, i64), hour: i64) -> Vec<f64> {
    values_in(points, |time| {
        (start..end).contains(&time) && time.div_euclid(HOUR).rem_euclid(168) == hour
    })
}

fn close(found: f64, expected: f64, what: &str) {
    let equal = found == expected || (found.is_nan() && expected.is_nan());
    assert!(
        equal || (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        "{what}: found {found}, expected {expected}"
    );
}

/// Checks an answer against the points.
fn check(
    answer: &DetectAnomaliesResponse,
    points: &Points,
    window: (i64, i64),
    length: i64,
    threshold: f64,
) {
    let method = answer.method();
    let seasonal = method == AnomalyMethod::Seasonal;
    let granularity = if seasonal { Granularity::Hour } else { Granularity::Minute };
    let end = granularity.floor(window.0);
    let hour = |time: i64| time.div_euclid(HOUR).rem_euclid(168);
    let mut of_hour: Vec<Option<Stats>> = (0..168).map(|_| None).collect();
    let mut expected = Vec::new();
    let mut tested = 0;
    let mut not_judged = 0;
    for &(time, value) in points.iter().filter(|(time, _)| (window.0..window.1).contains(time)) {
        let slot = if seasonal { hour(time) } else { 0 };
        let stats = of_hour[usize::try_from(slot).unwrap()].get_or_insert_with(|| {
            let values = match seasonal {
                true => values_of_hour(points, (end - length, end), slot),
                false => values_in(points, |time| (end - length..end).contains(&time)),
            };
            stats(&values, method)
        });
        if stats.count < MIN_COUNT {
            not_judged += 1;
            continue;
        }
        tested += 1;
        let reach = if stats.flat { 0.0 } else { threshold * stats.deviation };
        if (value - stats.center).abs() > reach {
            let score = if stats.flat {
                f64::INFINITY
            } else {
                (value - stats.center).abs() / stats.deviation
            };
            expected.push((time, value, stats.center, reach, score));
        }
    }
    assert_eq!((answer.tested_count, answer.not_judged_count), (tested, not_judged), "{method:?}");
    let found = &answer.anomalies;
    expected.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    assert_eq!(found.len(), expected.len(), "{method:?} {window:?}");
    for (found, (time, value, center, reach, score)) in found.iter().zip(expected) {
        assert_eq!(
            (time::from_timestamp(&found.timestamp.unwrap()), found.value),
            (Some(time), value)
        );
        close(found.expected_value, center, "expected value");
        close(found.lower_bound, center - reach, "lower bound");
        close(found.upper_bound, center + reach, "upper bound");
        close(found.score, score, "score");
        let high = if value > center { AnomalyDirection::High } else { AnomalyDirection::Low };
        assert_eq!(found.direction(), high);
    }
    check_baseline(answer, points, window, (end - length, end));
}

fn check_baseline(
    answer: &DetectAnomaliesResponse,
    points: &Points,
    window: (i64, i64),
    (start, end): (i64, i64),
) {
    let baseline = answer.baseline.unwrap();
    let edges = [baseline.start.unwrap(), baseline.end.unwrap()]
        .map(|edge| time::from_timestamp(&edge).unwrap());
    assert_eq!(edges, [start, end]);
    let hours =
        (Granularity::Hour.floor(window.0)..window.1).step_by(usize::try_from(HOUR).unwrap());
    let touched: Vec<i64> = hours.map(|time| time.div_euclid(HOUR).rem_euclid(168)).collect();
    let seasonal = answer.method() == AnomalyMethod::Seasonal;
    let used = |time: i64| !seasonal || touched.contains(&time.div_euclid(HOUR).rem_euclid(168));
    let values = values_in(points, |time| (start..end).contains(&time) && used(time));
    let (mean, stddev) = mean_and_stddev(&values);
    assert_eq!(baseline.count, values.len() as u64);
    close(baseline.mean, mean, "mean");
    close(baseline.stddev, stddev, "stddev");
    assert_eq!(baseline.median.is_some(), answer.method() == AnomalyMethod::Robust);
    if let (Some(found), Some(mad)) = (baseline.median, baseline.median_absolute_deviation) {
        let center = median(&values);
        close(found, center, "median");
        close(
            mad,
            median(&values.iter().map(|value| (value - center).abs()).collect::<Vec<_>>()),
            "MAD",
        );
    }
    let parts: Vec<Vec<f64>> = match seasonal {
        true => touched.iter().map(|hour| values_of_hour(points, (start, end), *hour)).collect(),
        false => vec![values],
    };
    let judging: Vec<_> = parts.into_iter().filter(|values| values.len() >= MIN_COUNT).collect();
    let flat = |values: &Vec<f64>| values.iter().all(|value| *value == values[0]);
    let state = match judging.iter().all(flat) {
        _ if judging.is_empty() => BaselineState::Insufficient,
        true => BaselineState::NoSpread,
        false => BaselineState::Sufficient,
    };
    assert_eq!(baseline.state(), state);
}

async fn ask(
    services: &Services,
    points: &Points,
    random: &mut SmallRng,
    (start, end): (i64, i64),
) -> usize {
    let mut found = 0;
    for method in [AnomalyMethod::ZScore, AnomalyMethod::Robust, AnomalyMethod::Seasonal] {
        let from = random.random_range(start + 14 * DAY..end - 8 * DAY);
        let window = (from, from + [HOUR, 20 * HOUR, 8 * DAY][random.random_range(0..3)]);
        let length = match method {
            AnomalyMethod::Seasonal => random.random_range(1..=2) * WEEK,
            _ => random.random_range(60..5_000) * MINUTE,
        };
        let threshold = random.random_range(2.0..4.0);
        let request = DetectAnomaliesRequest {
            series: Some(SeriesKey {
                device_id: "walk".to_owned(),
                metric_name: "temperature".to_owned(),
            }),
            start: at(window.0),
            end: at(window.1),
            baseline: Some(time::to_duration(length)),
            threshold,
            method: method as i32,
            min_baseline_count: u32::try_from(MIN_COUNT).unwrap(),
            max_anomalies: 10_000,
            ..Default::default()
        };
        let answer = services.query.clone().detect_anomalies(request).await.unwrap().into_inner();
        check(&answer, points, window, length, threshold);
        found += answer.anomalies.len();
    }
    found
}

async fn send(services: &Services, points: &Points) {
    let (times, values) = points.iter().copied().unzip();
    let batch = Batch { series: vec![series("walk", times, values)], ..Default::default() };
    assert_eq!(services.send(batch).await.unwrap().accepted_count, points.len() as u64);
}

/// Compares first with nothing materialised, then partly materialised, then with late points on
/// top. The answers must not differ.
#[tokio::test]
async fn every_method_equals_arithmetic_over_the_raw_points_whatever_is_materialised() {
    let database = OwnDatabase::start().await;
    let services = Services::start_on(&database.url).await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    let mut sql = database.sql().await;
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let interval = (now() - 29 * DAY, now() - HOUR);
    let all = walk(&mut random, interval.0, interval.1);
    let (late, early): (Points, Points) = all.iter().partition(|_| random.random_bool(0.2));
    let mut found = 0;
    send(&services, &early).await;
    for refreshed_to in [None, Some(interval.0 + 17 * DAY + 7 * MINUTE), Some(interval.1)] {
        if let Some(refreshed_to) = refreshed_to {
            sql.refresh(interval.0 - 2 * DAY, refreshed_to).await;
        }
        for _ in 0..15 {
            found += ask(&services, &early, &mut random, interval).await;
        }
    }
    send(&services, &late).await;
    sql.refresh(interval.0 - 2 * DAY, interval.1 + DAY).await;
    for _ in 0..15 {
        found += ask(&services, &all, &mut random, interval).await;
    }
    assert!(found > 100, "only {found} anomalies were compared");
}

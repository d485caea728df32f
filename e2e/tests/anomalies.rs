//! Anomalies that are found, and answers for sparse data.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{Services, Sql, at, now, series, unique};
use shared::proto::v1::{
    AnomalyDirection, BaselineState, Batch, DetectAnomaliesRequest, DetectAnomaliesResponse,
    SeriesKey,
};
use shared::time;
use tonic::{Code, Status};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;

/// Stores points and refreshes the rollup from which baselines are computed.
async fn send(services: &Services, device: &str, times: Vec<i64>, values: Vec<f64>) {
    let first = times[0].min(times[times.len() - 1]);
    let last = times[0].max(times[times.len() - 1]);
    let count = times.len() as u64;
    let batch = Batch { series: vec![series(device, times, values)], ..Default::default() };
    assert_eq!(services.send(batch).await.unwrap().accepted_count, count);
    Sql::connect().await.refresh(first - 2 * 24 * HOUR, last).await;
}

async fn detect(
    services: &Services,
    device: &str,
    end: i64,
) -> Result<DetectAnomaliesResponse, Status> {
    let series =
        Some(SeriesKey { device_id: device.to_owned(), metric_name: "temperature".to_owned() });
    let request = DetectAnomaliesRequest { series, end: at(end), ..Default::default() };
    Ok(services.query.clone().detect_anomalies(request).await?.into_inner())
}

/// Returns one point a minute over the baseline, with values alternating by `spread` around 20.
fn baseline(end: i64, minutes: i64, spread: f64) -> (Vec<i64>, Vec<f64>) {
    let times = (1..=minutes).map(|minute| end - HOUR - minute * MINUTE);
    times
        .map(|time| (time, if time / MINUTE % 2 == 0 { 20.0 - spread } else { 20.0 + spread }))
        .unzip()
}

#[tokio::test]
async fn injected_faults_are_found_with_score_bounds_and_direction() {
    let services = Services::start().await;
    let device = unique("faults");
    let end = now();
    let (mut times, mut values) = baseline(end, 600, 1.0);
    let high = end - 30 * MINUTE;
    let low = end - 20 * MINUTE;
    let fine = end - 10 * MINUTE;
    times.extend([high, low, fine]);
    values.extend([30.0, 10.0, 21.0]);
    send(&services, &device, times, values).await;
    let answer = detect(&services, &device, end).await.unwrap();
    let baseline = answer.baseline.unwrap();
    assert_eq!((baseline.state(), baseline.count), (BaselineState::Sufficient, 600));
    assert!(
        (baseline.mean - 20.0).abs() < 1e-9
            && (baseline.stddev - (600.0_f64 / 599.0).sqrt()).abs() < 1e-9
    );
    let baseline_end = baseline.end.unwrap();
    let start = answer.start.unwrap();
    assert!(
        time::from_timestamp(&baseline_end) <= time::from_timestamp(&start),
        "the baseline overlaps the window"
    );
    assert_eq!(answer.tested_count, 3);
    let found: Vec<_> = answer
        .anomalies
        .iter()
        .map(|anomaly| {
            (
                time::from_timestamp(&anomaly.timestamp.unwrap()).unwrap(),
                anomaly.value,
                anomaly.direction(),
            )
        })
        .collect();
    assert_eq!(found, [(high, 30.0, AnomalyDirection::High), (low, 10.0, AnomalyDirection::Low)]);
    let anomaly = answer.anomalies[0];
    assert!((anomaly.score - 10.0 / baseline.stddev).abs() < 1e-9);
    assert!((anomaly.upper_bound - (20.0 + 3.0 * baseline.stddev)).abs() < 1e-9);
    assert_eq!(anomaly.expected_value, baseline.mean);
}

#[tokio::test]
async fn a_baseline_without_spread_calls_every_other_value_an_anomaly_of_infinite_score() {
    let services = Services::start().await;
    let device = unique("flat");
    let end = now();
    let (mut times, mut values) = baseline(end, 100, 0.0);
    times.extend([end - 3 * MINUTE, end - 2 * MINUTE]);
    values.extend([20.0, 20.000_001]);
    send(&services, &device, times, values).await;
    let answer = detect(&services, &device, end).await.unwrap();
    assert_eq!(answer.baseline.unwrap().state(), BaselineState::NoSpread);
    assert_eq!((answer.tested_count, answer.anomalies.len()), (2, 1));
    assert_eq!(answer.anomalies[0].score, f64::INFINITY);
    assert_eq!((answer.anomalies[0].lower_bound, answer.anomalies[0].upper_bound), (20.0, 20.0));
}

#[tokio::test]
async fn too_few_baseline_points_judge_nothing_and_say_so() {
    let services = Services::start().await;
    let device = unique("few");
    let end = now();
    let (mut times, mut values) = baseline(end, 29, 1.0);
    times.push(end - MINUTE);
    values.push(1e6);
    send(&services, &device, times, values).await;
    let answer = detect(&services, &device, end).await.unwrap();
    let baseline = answer.baseline.unwrap();
    assert_eq!((baseline.state(), baseline.count), (BaselineState::Insufficient, 29));
    assert!(answer.anomalies.is_empty());
}

#[tokio::test]
async fn an_empty_window_has_no_anomalies() {
    let services = Services::start().await;
    let device = unique("window");
    let end = now();
    let (times, values) = baseline(end, 100, 1.0);
    send(&services, &device, times, values).await;
    let answer = detect(&services, &device, end).await.unwrap();
    assert_eq!((answer.tested_count, answer.anomalies.len()), (0, 0));
    assert_eq!(answer.baseline.unwrap().state(), BaselineState::Sufficient);
}

#[tokio::test]
async fn an_unknown_device_is_not_found_by_its_name() {
    let services = Services::start().await;
    let device = unique("nobody");
    let status = detect(&services, &device, now()).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains(&device), "{}", status.message());
}

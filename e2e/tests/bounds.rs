//! Interval bounds finer than a microsecond. Every point is on the correct side of them.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{Services, now, selector, series, unique};
use prost_types::Timestamp;
use shared::granularity::Granularity;
use shared::proto::v1::{
    self, Batch, DetectAnomaliesRequest, QueryAggregatedRequest, QueryRangeRequest, SeriesKey,
    query_aggregated_response, query_range_response,
};
use shared::time;

const MINUTE: i64 = 60_000_000;

/// Returns a time of some microseconds plus some nanoseconds.
fn at(micros: i64, nanos: i32) -> Option<Timestamp> {
    let whole = time::to_timestamp(micros);
    Some(Timestamp { nanos: whole.nanos + nanos, ..whole })
}

async fn send(services: &Services, device: &str, times: &[i64]) {
    let values = (1..=times.len()).map(|at| at as f64).collect();
    let batch =
        Batch { series: vec![series(device, times.to_vec(), values)], ..Default::default() };
    assert_eq!(services.send(batch).await.unwrap().accepted_count, times.len() as u64);
}

type Bounds = (Option<Timestamp>, Option<Timestamp>);

/// Returns the times of the points that `QueryRange` finds.
async fn points(services: &Services, device: &str, (start, end): Bounds) -> Vec<i64> {
    let request =
        QueryRangeRequest { selectors: vec![selector(device)], start, end, max_points: 0 };
    let mut frames = services.query.clone().query_range(request).await.unwrap().into_inner();
    let mut found = Vec::new();
    while let Some(response) = frames.message().await.unwrap() {
        if let Some(query_range_response::Frame::Points(points)) = response.frame {
            found.extend(points.timestamps_us);
        }
    }
    found
}

/// Returns the starts and counts of the buckets that `QueryAggregated` finds.
async fn buckets(
    services: &Services,
    device: &str,
    granularity: v1::Granularity,
    (start, end): Bounds,
) -> Vec<(i64, u64)> {
    let granularity = granularity as i32;
    let selectors = vec![selector(device)];
    let request =
        QueryAggregatedRequest { selectors, start, end, granularity, ..Default::default() };
    let mut frames = services.query.clone().query_aggregated(request).await.unwrap().into_inner();
    let mut found = Vec::new();
    while let Some(response) = frames.message().await.unwrap() {
        if let Some(query_aggregated_response::Frame::Buckets(buckets)) = response.frame {
            found.extend(buckets.bucket_starts_us.into_iter().zip(buckets.count));
        }
    }
    found
}

#[tokio::test]
async fn points_are_found_by_bounds_of_nanoseconds() {
    let services = Services::start().await;
    let device = unique("bounds");
    let second = now() / 1_000_000 * 1_000_000 - 60_000_000;
    let last = second + 999_999;
    send(&services, &device, &[second, second + 1, second + 2, last]).await;
    let cases: [(Bounds, &[i64]); 7] = [
        ((at(second, 500), at(second + 10, 0)), &[second + 1, second + 2]),
        ((at(second, 0), at(second, 500)), &[second]),
        ((at(second, 100), at(second, 500)), &[]),
        ((at(second, 1), at(second + 1, 0)), &[]),
        ((at(second, 1), at(second + 1, 1)), &[second + 1]),
        ((at(second + 3, 0), at(last, 999)), &[last]),
        ((at(second - 1, 999), at(second, 1)), &[second]),
    ];
    for (bounds, expected) in cases {
        assert_eq!(points(&services, &device, bounds).await, expected, "QueryRange {bounds:?}");
        let raw = buckets(&services, &device, v1::Granularity::Raw, bounds).await;
        let times: Vec<i64> = raw.into_iter().map(|(time, _)| time).collect();
        assert_eq!(times, expected, "QueryAggregated of points {bounds:?}");
    }
}

#[tokio::test]
async fn a_reader_that_goes_on_a_nanosecond_after_the_last_point_sees_each_point_once() {
    let services = Services::start().await;
    let device = unique("reader");
    let begin = now() - 60_000_000;
    let times: Vec<i64> = (0..5).map(|at| begin + at).collect();
    send(&services, &device, &times).await;
    let mut start = at(begin, 0);
    let mut seen = Vec::new();
    for end in 1..=5 {
        let page = points(&services, &device, (start, at(begin + end, 0))).await;
        start = at(*page.last().unwrap(), 1);
        seen.extend(page);
    }
    assert_eq!(seen, times);
}

#[tokio::test]
async fn buckets_are_found_by_bounds_of_nanoseconds() {
    let services = Services::start().await;
    let device = unique("edges");
    // No refresh has reached these minutes. Late points would show after the next refresh only.
    let minute = Granularity::Minute.floor(now());
    send(&services, &device, &[minute - 1, minute, minute + 1]).await;
    let before = (minute - MINUTE, 1);
    let after = (minute, 2);
    let cases: [(Bounds, &[(i64, u64)]); 5] = [
        ((at(minute - 1, 0), at(minute, 0)), &[before]),
        ((at(minute - 1, 0), at(minute, 1)), &[before, after]),
        ((at(minute - 1, 1), at(minute, 1)), &[after]),
        ((at(minute - 1, 100), at(minute - 1, 500)), &[before]),
        ((at(minute, 1), at(minute + 1, 0)), &[after]),
    ];
    for (bounds, expected) in cases {
        assert_eq!(
            buckets(&services, &device, v1::Granularity::Minute, bounds).await,
            expected,
            "{bounds:?}"
        );
    }
}

#[tokio::test]
async fn windows_of_anomalies_are_found_by_bounds_of_nanoseconds() {
    let services = Services::start().await;
    let device = unique("windows");
    let begin = now() - 60_000_000;
    send(&services, &device, &[begin, begin + 1, begin + 2]).await;
    let key = SeriesKey { device_id: device.clone(), metric_name: "temperature".to_owned() };
    let cases = [
        (at(begin, 1), at(begin + 2, 1), 2),
        (at(begin, 0), at(begin, 1), 1),
        (at(begin, 1), at(begin, 2), 0),
    ];
    for (start, end, expected) in cases {
        let request =
            DetectAnomaliesRequest { series: Some(key.clone()), start, end, ..Default::default() };
        let answer = services.query.clone().detect_anomalies(request).await.unwrap().into_inner();
        assert_eq!(answer.tested_count + answer.not_judged_count, expected, "{start:?} to {end:?}");
    }
}

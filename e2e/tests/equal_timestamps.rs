//! Points with the same series and timestamp are ordered by value, in every answer and at every
//! granularity.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{OwnDatabase, Services, Sql, at, now, selector, series, wait_until_serving};
use shared::granularity::Granularity;
use shared::proto::v1::{
    self, Batch, Combine, DetectAnomaliesRequest, GetLatestRequest, QueryAggregatedRequest,
    SeriesKey, SeriesSelector, Statistic, query_aggregated_response::Frame, series_selector,
};
use shared::time;

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 1_440 * MINUTE;
/// Values at the first and the last timestamp of a minute, in sending order.
const FIRST: [f64; 4] = [7.0, -3.0, 7.0, 11.0];
const LAST: [f64; 4] = [22.0, -999.0, 22.5, 0.0];
const SMALLEST_FIRST: f64 = -3.0;
const GREATEST_LAST: f64 = 22.5;

/// Sends each value in a batch of its own, so that they arrive in the order of the list.
async fn send_ties(services: &Services, device: &str, minute: i64) {
    for (first, last) in FIRST.into_iter().zip(LAST) {
        let times = vec![minute + 1_000_000, minute + 30_000_000, minute + 59_999_999];
        let columns = vec![series(device, times, vec![first, 1e6, last])];
        services.send(Batch { series: columns, ..Default::default() }).await.unwrap();
    }
}

fn request(
    granularity: v1::Granularity,
    width: Option<i64>,
    minute: i64,
) -> QueryAggregatedRequest {
    QueryAggregatedRequest {
        selectors: vec![selector("tied")],
        start: at(minute),
        end: at(minute + MINUTE),
        granularity: granularity as i32,
        bucket_width: width.map(time::to_duration),
        statistics: vec![Statistic::First as i32, Statistic::Last as i32, Statistic::Rate as i32]
            [..if granularity == v1::Granularity::Raw && width.is_some() { 3 } else { 2 }]
            .to_vec(),
        ..Default::default()
    }
}

/// Returns all first and last values of an answer.
async fn ends(services: &Services, request: QueryAggregatedRequest) -> (Vec<f64>, Vec<f64>) {
    let mut frames = services.query.clone().query_aggregated(request).await.unwrap().into_inner();
    let mut first = Vec::new();
    let mut last = Vec::new();
    while let Some(response) = frames.message().await.unwrap() {
        if let Some(Frame::Buckets(buckets)) = response.frame {
            first.extend(buckets.first);
            last.extend(buckets.last);
        }
    }
    (first, last)
}

async fn check_raw(services: &Services, minute: i64, what: &str) {
    let sorted = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values
    };
    let expected = [sorted(FIRST.to_vec()), vec![1e6; 4], sorted(LAST.to_vec())].concat();
    let points = services.range("tied", minute, minute + MINUTE).await.unwrap();
    assert_eq!(points.values, expected, "{what}: QueryRange");
    let found = ends(services, request(v1::Granularity::Raw, None, minute)).await;
    assert_eq!(found, (expected.clone(), expected), "{what}: points as buckets");
    let found = ends(services, request(v1::Granularity::Raw, Some(MINUTE), minute)).await;
    assert_eq!(found, (vec![SMALLEST_FIRST], vec![GREATEST_LAST]), "{what}: buckets of points");
    let device = Some(series_selector::Device::DeviceIdPrefix("tied".to_owned()));
    let selectors = vec![SeriesSelector { device, metric_name: "temperature".to_owned() }];
    let combined = QueryAggregatedRequest {
        selectors,
        combine: Combine::Devices as i32,
        ..request(v1::Granularity::Auto, Some(MINUTE), minute)
    };
    let found = ends(services, combined).await;
    assert_eq!(found, (vec![SMALLEST_FIRST], vec![GREATEST_LAST]), "{what}: all devices together");
    let key = SeriesKey { device_id: "tied".to_owned(), metric_name: "temperature".to_owned() };
    let wanted = GetLatestRequest { series: vec![key], ..Default::default() };
    let latest = services.query.clone().get_latest(wanted).await.unwrap().into_inner();
    assert_eq!(latest.points[0].value, GREATEST_LAST, "{what}: GetLatest");
}

/// Checks that all points of the minute are anomalies, because the baseline has no spread.
async fn check_anomalies(services: &Services, minute: i64, what: &str) {
    for most in [12, 2] {
        let request = DetectAnomaliesRequest {
            series: Some(SeriesKey {
                device_id: "tied".to_owned(),
                metric_name: "temperature".to_owned(),
            }),
            start: at(minute),
            end: at(minute + MINUTE),
            baseline: Some(time::to_duration(60 * MINUTE)),
            min_baseline_count: 2,
            max_anomalies: most,
            ..Default::default()
        };
        let answer = services.query.clone().detect_anomalies(request).await.unwrap().into_inner();
        let found: Vec<f64> = answer.anomalies.iter().map(|anomaly| anomaly.value).collect();
        let all = [-3.0, 7.0, 7.0, 11.0, 1e6, 1e6, 1e6, 1e6, -999.0, 0.0, 22.0, 22.5];
        assert_eq!(found, all[..most as usize], "{what}: anomalies");
    }
}

async fn compress(sql: &mut Sql) {
    let compress = "SELECT compress_chunk(chunk) FROM show_chunks('points') AS chunk";
    sqlx::query(compress).execute(&mut sql.0).await.unwrap();
}

#[tokio::test]
async fn equal_timestamps_have_one_order_live_compressed_and_refreshed() {
    let database = OwnDatabase::start().await;
    let services = Services::start_on(&database.url).await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    let mut sql = database.sql().await;
    let minute = Granularity::Day.floor(now()) - 2 * DAY + 100 * MINUTE;
    let before: Vec<i64> = (1..=30).map(|at| minute - at * MINUTE).collect();
    let flat = |device: &str| Batch {
        series: vec![series(device, before.clone(), vec![5.0; 30])],
        ..Default::default()
    };
    services.send(flat("tied")).await.unwrap();
    send_ties(&services, "tied", minute).await;
    for what in ["live", "compressed", "refreshed", "compressed and refreshed again"] {
        match what {
            "compressed" => compress(&mut sql).await,
            "refreshed" => sql.refresh(minute - 2 * DAY, minute + DAY).await,
            "compressed and refreshed again" => {
                compress(&mut sql).await;
                let touch = "UPDATE points SET value = value \
                             WHERE series_id = (SELECT max(series_id) FROM series)";
                sqlx::query(touch).execute(&mut sql.0).await.unwrap();
                sql.refresh(minute - 2 * DAY, minute + DAY).await;
            }
            _ => {}
        }
        check_raw(&services, minute, what).await;
        check_anomalies(&services, minute, what).await;
        let with_flat_hour = |granularity| ends(&services, request(granularity, None, minute));
        let found = with_flat_hour(v1::Granularity::Minute).await;
        assert_eq!(found, (vec![SMALLEST_FIRST], vec![GREATEST_LAST]), "{what}: minute");
        for granularity in [v1::Granularity::Hour, v1::Granularity::Day] {
            assert_eq!(
                with_flat_hour(granularity).await.1,
                [GREATEST_LAST],
                "{what}: {granularity:?}"
            );
        }
    }
}

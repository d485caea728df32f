//! Requests as clients send them: the seeds of the fuzzer.

use prost::Message;
use prost_types::{Duration, Timestamp};
use shared::proto::v1::{self, series_selector::Device};
use shared::time;

use super::{DAY, NOW};

/// Returns inputs for each method in several variants. See [`check`](super::check) for their
/// format.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![seed(0, &range(0)), seed(0, &range(500))];
    seeds.extend(aggregated().iter().map(|request| seed(1, request)));
    for method in 0..4 {
        seeds.push(seed(2, &anomalies(method)));
        seeds.push(seed(3, &watched(method)));
    }
    let series = vec![v1::SeriesKey {
        device_id: "sensor-1".to_owned(),
        metric_name: "temperature".to_owned(),
    }];
    seeds.push(seed(4, &v1::GetLatestRequest { series, device_id: String::new() }));
    seeds.push(seed(4, &v1::GetLatestRequest { series: vec![], device_id: "sensor-1".to_owned() }));
    let page_token = crate::page_token::encode(&["ListDevices", "sensor"], "sensor-7");
    let device_id_prefix = "sensor".to_owned();
    seeds.push(seed(5, &v1::ListDevicesRequest { page_size: 10, page_token, device_id_prefix }));
    let device_id = "sensor-1".to_owned();
    let metric_name_prefix = "temp".to_owned();
    let page_token = crate::page_token::encode(&["ListMetrics", "sensor-1", "temp"], "temperature");
    seeds.push(seed(
        6,
        &v1::ListMetricsRequest { page_size: 10, page_token, device_id, metric_name_prefix },
    ));
    seeds
}

fn seed(call: u8, request: &impl Message) -> Vec<u8> {
    let kept = if call == 1 { [2, 6, 20, 0] } else { [0; 4] };
    [&[call][..], &kept, &request.encode_to_vec()].concat()
}

fn at(micros: i64) -> Option<Timestamp> {
    Some(time::to_timestamp(micros))
}

fn selectors() -> Vec<v1::SeriesSelector> {
    let selector =
        |device| v1::SeriesSelector { device: Some(device), metric_name: "temperature".to_owned() };
    vec![
        selector(Device::DeviceId("sensor-1".to_owned())),
        selector(Device::DeviceIdPrefix("sensor-".to_owned())),
    ]
}

fn range(max_points: u32) -> v1::QueryRangeRequest {
    v1::QueryRangeRequest { selectors: selectors(), start: at(NOW - DAY), end: at(NOW), max_points }
}

fn aggregated() -> Vec<v1::QueryAggregatedRequest> {
    let request = || v1::QueryAggregatedRequest {
        selectors: selectors(),
        start: at(NOW - DAY),
        end: at(NOW),
        ..Default::default()
    };
    let width = |days: i64| Some(Duration { seconds: days * 86_400, nanos: 0 });
    let mut requests: Vec<_> =
        (0..6).map(|granularity| v1::QueryAggregatedRequest { granularity, ..request() }).collect();
    requests.extend(["Europe/Berlin", "Asia/Kolkata", "Pacific/Apia"].map(|zone| {
        v1::QueryAggregatedRequest {
            time_zone: zone.to_owned(),
            start: at(NOW - 4_000 * DAY),
            gap_fill: v1::GapFill::Last as i32,
            ..request()
        }
    }));
    requests.extend([
        v1::QueryAggregatedRequest {
            bucket_width: width(7),
            start: at(NOW - 900 * DAY),
            ..request()
        },
        v1::QueryAggregatedRequest {
            bucket_width: Some(Duration { seconds: 300, nanos: 0 }),
            ..request()
        },
        v1::QueryAggregatedRequest {
            start: at(-62_135_596_800_000_000),
            max_points: 2,
            ..request()
        },
        v1::QueryAggregatedRequest {
            statistics: (1..10).collect(),
            combine: 2,
            max_points: 77,
            ..request()
        },
        v1::QueryAggregatedRequest {
            gap_fill: 4,
            start: at(NOW - 60 * DAY),
            max_points: 9_999,
            ..request()
        },
    ]);
    requests
}

fn anomalies(method: i32) -> v1::DetectAnomaliesRequest {
    let series = Some(v1::SeriesKey {
        device_id: "sensor-1".to_owned(),
        metric_name: "temperature".to_owned(),
    });
    let window = Some(Duration { seconds: 7_200, nanos: 0 });
    let baseline = Some(Duration { seconds: 14 * 86_400, nanos: 0 });
    v1::DetectAnomaliesRequest {
        series,
        method,
        end: at(NOW - DAY),
        window,
        baseline,
        ..Default::default()
    }
}

fn watched(method: i32) -> v1::WatchAnomaliesRequest {
    let baseline = Some(Duration { seconds: 14 * 86_400, nanos: 0 });
    let mut request = v1::WatchAnomaliesRequest {
        selectors: selectors(),
        method,
        baseline,
        ..Default::default()
    };
    if let Ok(query) = crate::validate::WatchQuery::check(request.clone()) {
        request.resume_token = crate::watch::WatchPosition::new(NOW).token(query.fingerprint());
    }
    request
}

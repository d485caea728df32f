use shared::proto::v1;

use super::*;

fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

fn by_id(device_id: &str, metric_name: &str) -> v1::SeriesSelector {
    let device = Some(series_selector::Device::DeviceId(device_id.to_owned()));
    v1::SeriesSelector { device, metric_name: metric_name.to_owned() }
}

fn range(start: i64, end: i64) -> v1::QueryRangeRequest {
    v1::QueryRangeRequest {
        selectors: vec![by_id("d", "m")],
        start: at(start),
        end: at(end),
        max_points: 0,
    }
}

fn refused(request: v1::QueryRangeRequest) -> String {
    RangeQuery::check(request).unwrap_err().to_string()
}

#[test]
fn intervals_are_half_open_and_not_empty() {
    let query = RangeQuery::check(range(1, 2)).unwrap();
    assert_eq!((query.start, query.end), (1_000_000, 2_000_000));
    assert_eq!(
        refused(range(2, 2)),
        "end: 1970-01-01T00:00:02Z is not after start 1970-01-01T00:00:02Z"
    );
    assert_eq!(refused(v1::QueryRangeRequest { start: None, ..range(1, 2) }), "start: is missing");
    assert!(refused(range(i64::MIN, 2)).contains("years 1 to 9999"));
}

/// Returns the instant this many nanoseconds after 1970-01-01T00:01:00Z.
fn after_a_minute(nanos: i32) -> Option<Timestamp> {
    Some(Timestamp { seconds: 60 - i64::from(nanos < 0), nanos: nanos.rem_euclid(1_000_000_000) })
}

#[test]
fn bounds_between_two_microseconds_are_rounded_up() {
    let rounded = |start, end| {
        let start = after_a_minute(start);
        let end = after_a_minute(end);
        let query = RangeQuery::check(v1::QueryRangeRequest { start, end, ..range(1, 2) }).unwrap();
        (query.start - 60_000_000, query.end - 60_000_000)
    };
    assert_eq!(rounded(0, 500), (0, 1), "the point at the start is inside");
    assert_eq!(rounded(500, 5_000), (1, 5), "the point before the start is not");
    assert_eq!(rounded(1, 999_999_999), (1, 1_000_000), "the last microsecond is inside");
    assert_eq!(rounded(-1, 1), (0, 1));
    assert_eq!(rounded(100, 500), (1, 1), "an interval between two microseconds is empty");
    let refused = refused(v1::QueryRangeRequest {
        start: after_a_minute(500),
        end: after_a_minute(100),
        ..range(1, 2)
    });
    assert_eq!(
        refused,
        "end: 1970-01-01T00:01:00.000000100Z is not after start 1970-01-01T00:01:00.000000500Z"
    );
}

#[test]
fn windows_are_rounded_like_other_intervals() {
    let window = |start: Option<Timestamp>, end, window| {
        let series = Some(v1::SeriesKey { device_id: "d".to_owned(), metric_name: "m".to_owned() });
        let request =
            v1::DetectAnomaliesRequest { series, start, end, window, ..Default::default() };
        let (start, end) = AnomalyQuery::check(request, 0).unwrap().window;
        (start - 60_000_000, end - 60_000_000)
    };
    assert_eq!(window(after_a_minute(500), after_a_minute(5_001), None), (1, 6));
    assert_eq!(window(after_a_minute(100), after_a_minute(500), None), (1, 1));
    // A window of 1000.5 µs that ends 0.5 µs after the minute begins on a whole microsecond.
    let length = prost_types::Duration { seconds: 0, nanos: 1_000_500 };
    assert_eq!(window(None, after_a_minute(500), Some(length)), (-1_000, 1));
}

#[test]
fn selectors_are_bounded_and_complete() {
    let with = |selectors| refused(v1::QueryRangeRequest { selectors, ..range(1, 2) });
    assert_eq!(with(vec![]), "selectors: has 0 entries; it must have 1 to 100");
    assert_eq!(
        with(vec![by_id("d", "m"); 101]),
        "selectors: has 101 entries; it must have 1 to 100"
    );
    assert_eq!(
        with(vec![by_id("", "m")]),
        "selectors[0].device_id: is empty; it must have 1 to 256 bytes"
    );
    assert_eq!(
        with(vec![by_id("d", &"m".repeat(257))]),
        "selectors[0].metric_name: has 257 bytes; the limit is 256"
    );
    assert!(with(vec![by_id("d\0", "m")]).contains("control character"));
    assert!(
        with(vec![v1::SeriesSelector { device: None, ..by_id("d", "m") }])
            .contains("set device_id or")
    );
}

#[test]
fn anomaly_windows_have_defaults_and_bounds() {
    const NOW: i64 = 1_000_000_030_000_000;
    let request = || v1::DetectAnomaliesRequest {
        series: Some(v1::SeriesKey { device_id: "d".to_owned(), metric_name: "m".to_owned() }),
        ..Default::default()
    };
    let query = AnomalyQuery::check(request(), NOW).unwrap();
    assert_eq!(query.window, (NOW - 3_600_000_000, NOW));
    assert_eq!(query.baseline.1 % 60_000_000, 0, "the baseline ends on a minute");
    assert!(query.baseline.1 <= query.window.0 && query.window.0 - query.baseline.1 < 60_000_000);
    assert_eq!(query.baseline.1 - query.baseline.0, 86_400_000_000);
    let refused = |request| AnomalyQuery::check(request, NOW).unwrap_err().to_string();
    let hour = prost_types::Duration { seconds: 3_600, nanos: 0 };
    assert!(
        refused(v1::DetectAnomaliesRequest { start: at(1), window: Some(hour), ..request() })
            .contains("cannot be combined with start")
    );
    assert!(refused(v1::DetectAnomaliesRequest { start: at(1), ..request() }).contains("31 days"));
    assert!(
        refused(v1::DetectAnomaliesRequest { threshold: -1.0, ..request() })
            .contains("0.1 to 1000")
    );
    assert!(
        refused(v1::DetectAnomaliesRequest { threshold: f64::NAN, ..request() })
            .contains("0.1 to 1000")
    );
    assert!(
        refused(v1::DetectAnomaliesRequest { min_baseline_count: 1, ..request() })
            .contains("2 or more")
    );
    assert!(
        refused(v1::DetectAnomaliesRequest { max_anomalies: 10_001, ..request() })
            .contains("10000")
    );
    assert!(
        refused(v1::DetectAnomaliesRequest { method: 9, ..request() })
            .contains("Z_SCORE, ROBUST, SEASONAL")
    );
    let odd = prost_types::Duration { seconds: 90, nanos: 0 };
    assert!(
        refused(v1::DetectAnomaliesRequest { baseline: Some(odd), ..request() })
            .contains("whole number of minutes")
    );
}

#[test]
fn page_sizes_follow_aip_158() {
    let sized = |page_size| {
        DeviceListing::check(v1::ListDevicesRequest { page_size, ..Default::default() })
    };
    assert_eq!(sized(0).unwrap().page_size, 100);
    assert_eq!(sized(7).unwrap().page_size, 7);
    assert_eq!(sized(i32::MAX).unwrap().page_size, 1_000);
    assert_eq!(
        sized(-1).unwrap_err().to_string(),
        "page_size: is -1; use 1 or more, or 0 for the default of 100"
    );
}

use prost_types::{Duration, Timestamp};

use super::*;
use crate::validate::DeviceSelector;

fn request() -> v1::QueryAggregatedRequest {
    let device = Some(v1::series_selector::Device::DeviceId("d".to_owned()));
    v1::QueryAggregatedRequest {
        selectors: vec![v1::SeriesSelector { device, metric_name: "m".to_owned() }],
        start: Some(Timestamp { seconds: 1, nanos: 0 }),
        end: Some(Timestamp { seconds: 2, nanos: 0 }),
        ..Default::default()
    }
}

fn refused(change: impl FnOnce(&mut v1::QueryAggregatedRequest)) -> String {
    let mut request = request();
    change(&mut request);
    AggregatedQuery::check(request).unwrap_err().to_string()
}

#[test]
fn unknown_enum_values_are_refused_with_those_that_are_accepted() {
    let description = refused(|request| request.granularity = 99);
    assert_eq!(
        description,
        "granularity: has the value 99; it must be one of AUTO, RAW, MINUTE, HOUR, DAY"
    );
    let description = refused(|request| request.statistics = vec![1, 99]);
    assert!(
        description.starts_with("statistics: has the value 99")
            && description.ends_with("STDDEV, RATE"),
        "{description}"
    );
    assert!(refused(|request| request.gap_fill = 99).ends_with("NONE, NULL, LAST, LINEAR"));
    assert!(refused(|request| request.combine = 99).ends_with("SERIES, DEVICES"));
}

#[test]
fn widths_are_whole_minutes_within_limits() {
    let width = |seconds, nanos| {
        refused(|request| request.bucket_width = Some(Duration { seconds, nanos }))
    };
    let description =
        "bucket_width: must be a whole number of minutes, from 1 minute to 36500 days";
    for (seconds, nanos) in
        [(0, 0), (30, 0), (90, 0), (-60, 0), (60, 1), (60, 1_000), (36_501 * 86_400, 0)]
    {
        assert_eq!(width(seconds, nanos), description, "{seconds} s {nanos} ns");
    }
}

#[test]
fn bad_max_points_and_time_zones_are_refused_with_those_that_are_accepted() {
    assert_eq!(
        refused(|request| request.max_points = 1_000_001),
        "max_points: is 1000001; use 2 to 1000000, or 0 for the default of 1000"
    );
    assert!(refused(|request| request.max_points = 1).contains("2 to 1000000"));
    let description = refused(|request| request.time_zone = "Mars/Olympus".to_owned());
    assert!(
        description.contains("\"Mars/Olympus\"") && description.contains("\"Europe/Berlin\""),
        "{description}"
    );
}

#[test]
fn raw_points_have_no_gaps_rates_or_combined_devices() {
    let points = |change: fn(&mut v1::QueryAggregatedRequest)| {
        refused(|request| {
            request.granularity = v1::Granularity::Raw as i32;
            change(request);
        })
    };
    assert!(
        points(|request| request.gap_fill = v1::GapFill::Null as i32)
            .starts_with("gap_fill: needs buckets")
    );
    assert!(
        points(|request| request.combine = v1::Combine::Devices as i32)
            .starts_with("combine: needs buckets")
    );
    assert!(
        points(|request| request.statistics = vec![Statistic::Rate as i32])
            .contains("statistics other than RATE")
    );
}

#[test]
fn statistics_have_a_default_and_no_repetitions() {
    let with = |statistics: &[Statistic], combine: v1::Combine| {
        let statistics = statistics.iter().map(|&statistic| statistic as i32).collect();
        AggregatedQuery::check(v1::QueryAggregatedRequest {
            statistics,
            combine: combine as i32,
            ..request()
        })
        .unwrap()
    };
    assert_eq!(with(&[], v1::Combine::Series).statistics.len(), 8);
    let together = with(&[], v1::Combine::Devices);
    assert_eq!((together.statistics.len(), together.raw_only), (6, None));
    let twice = with(&[Statistic::Avg, Statistic::Avg], v1::Combine::Series);
    assert_eq!(twice.statistics, [Statistic::Avg]);
    assert_eq!(with(&[Statistic::Last], v1::Combine::Series).raw_only, None);
    assert_eq!(
        with(&[Statistic::Last], v1::Combine::Devices).raw_only,
        Some("LAST of several devices")
    );
    assert_eq!(twice.selectors[0].device, DeviceSelector::Id("d".to_owned()));
}

#[test]
fn an_interval_between_two_microseconds_overlaps_the_bucket_that_contains_it() {
    let between = |granularity: v1::Granularity| {
        let instant = |nanos| Some(Timestamp { seconds: 59, nanos });
        let start = instant(999_999_100);
        let end = instant(999_999_500);
        let request =
            v1::QueryAggregatedRequest { granularity: granularity as i32, start, end, ..request() };
        let query = AggregatedQuery::check(request).unwrap();
        (query.start, query.end)
    };
    assert_eq!(between(v1::Granularity::Minute), (59_999_999, 60_000_000), "in the first minute");
    assert_eq!(between(v1::Granularity::Raw), (60_000_000, 60_000_000), "no point");
}

//! Checks of properties that must hold for any request bytes: decoding, validation and planning.
//! They are for `cargo xtask fuzz` and tests, and not part of the service.

mod planned;
mod seeds;

use prost::Message;
use shared::granularity::Granularity;
use shared::proto::v1::{self, AnomalyMethod};
use tonic::{Code, Status};

use crate::error::QueryError;
use crate::plan::{self, DAY, Retention};
use crate::series;
use crate::validate::{
    AggregatedQuery, AnomalyQuery, DeviceListing, DeviceSelector, LatestQuery, MetricListing,
    RangeQuery, Selector, WatchQuery,
};
use crate::watch::WatchPosition;

pub use seeds::seeds;

/// The current time of all requests here: 2026-11-23, in microseconds.
const NOW: i64 = 1_795_413_426_000_000;
/// The maximum size of a status. It is sent in trailers, which are limited to about 8 KiB, and
/// base64 makes its details a third longer.
const MAX_STATUS_BYTES: usize = 4_096;
/// The number of bytes before the request message: the method, and the retention.
pub const PREFIX: usize = 5;

/// Checks the properties for one input. Its first byte selects the method, the next four the
/// retention of each granularity, and the rest is the request message.
///
/// # Panics
/// Panics if a property does not hold.
pub fn check(bytes: &[u8]) {
    let Some((&[call, kept @ ..], message)) = bytes.split_first_chunk::<PREFIX>() else { return };
    let checked = match call % 7 {
        0 => decoded(message, range),
        1 => decoded(message, |request| aggregated(request, &retention_for(kept))),
        2 => decoded(message, anomalies),
        3 => decoded(message, watched),
        4 => decoded(message, latest),
        5 => decoded(message, devices),
        _ => decoded(message, metrics),
    };
    if let Err(error) = checked {
        let status = Status::from(error);
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(!status.message().is_empty(), "a refusal has a message");
        assert!(
            status.message().len() + status.details().len() <= MAX_STATUS_BYTES,
            "{status:?} is too long"
        );
    }
}

fn decoded<T: Message + Default>(
    message: &[u8],
    check: impl FnOnce(T) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    T::decode(message).map_or(Ok(()), check) // the server refuses undecodable messages itself
}

/// Returns the retention for a byte per granularity: 0 keeps everything, n keeps n² days.
fn retention_for(days: [u8; 4]) -> Retention {
    let [points, minutes, hours, days] =
        days.map(|days| (days > 0).then(|| NOW - i64::from(days) * i64::from(days) * DAY));
    Retention { points, minutes, hours, days }
}

fn range(request: v1::QueryRangeRequest) -> Result<(), QueryError> {
    let query = RangeQuery::check(request)?;
    check_selectors(&query.selectors);
    assert!(query.max_points.is_none_or(|most| (2..=1_000_000).contains(&most)));
    assert!(query.start <= query.end, "an interval between two microseconds is empty");
    let plan = plan::points(query.start, query.end);
    planned::check(&plan, (query.start, query.end));
    assert_eq!(
        (plan.start, plan.end),
        (query.start, query.end),
        "points are not rounded to buckets"
    );
    Ok(())
}

fn aggregated(
    request: v1::QueryAggregatedRequest,
    retention: &Retention,
) -> Result<(), QueryError> {
    let query = AggregatedQuery::check(request)?;
    check_selectors(&query.selectors);
    let of_points = query.granularity == Some(Granularity::Raw) && query.bucket_width.is_none();
    planned::check_interval(query.start, query.end, of_points);
    assert!(!query.statistics.is_empty());
    let plan = plan::choose(&query, retention)?;
    planned::check_aggregated(&query, &plan);
    Ok(())
}

fn anomalies(request: v1::DetectAnomaliesRequest) -> Result<(), QueryError> {
    let query = AnomalyQuery::check(request, NOW)?;
    check_id(&query.device_id);
    check_id(&query.metric_name);
    let (start, end) = query.window;
    let (from, to) = query.baseline;
    assert!(start <= end && end - start <= 31 * DAY + 1, "a window is at most 31 days");
    assert!(from < to && to <= start, "the baseline is before the window");
    assert!(to - from <= 366 * DAY && (to - from) % 60_000_000 == 0);
    assert!(
        start - to < if query.method == AnomalyMethod::Seasonal { DAY / 24 } else { 60_000_000 }
    );
    [start, end, from, to].into_iter().for_each(planned::check_timestamp);
    check_rule(query.method, query.threshold, query.min_baseline_count);
    assert!((1..=10_000).contains(&query.max_anomalies));
    Ok(())
}

fn watched(request: v1::WatchAnomaliesRequest) -> Result<(), QueryError> {
    let query = WatchQuery::check(request)?;
    check_selectors(&query.selectors);
    check_rule(query.method, query.threshold, query.min_baseline_count);
    assert!((60_000_000..=366 * DAY).contains(&query.baseline));
    let fingerprint = query.fingerprint();
    let token = WatchPosition::new(NOW).token(fingerprint);
    assert_eq!(WatchPosition::of_token(&token, fingerprint, NOW)?, WatchPosition::new(NOW));
    WatchPosition::of_token(&query.resume_token, fingerprint, NOW)?;
    Ok(())
}

fn latest(request: v1::GetLatestRequest) -> Result<(), QueryError> {
    match LatestQuery::check(request)? {
        LatestQuery::Device(device_id) => check_id(&device_id),
        LatestQuery::Series(devices, metrics) => {
            assert!(
                devices.len() == metrics.len() && (1..=series::MAX_SERIES).contains(&devices.len())
            );
            devices.iter().chain(&metrics).for_each(|id| check_id(id));
        }
    }
    Ok(())
}

fn devices(request: v1::ListDevicesRequest) -> Result<(), QueryError> {
    let listing = DeviceListing::check(request)?;
    check_page(listing.page_size, &listing.prefix, &listing.after);
    Ok(())
}

fn metrics(request: v1::ListMetricsRequest) -> Result<(), QueryError> {
    let listing = MetricListing::check(request)?;
    check_page(listing.page_size, &listing.prefix, &listing.after);
    check_prefix(&listing.device_id);
    Ok(())
}

fn check_page(page_size: usize, prefix: &str, after: &str) {
    assert!((1..=1_000).contains(&page_size));
    assert!(!after.contains('\0'), "PostgreSQL does not allow NUL in text");
    check_prefix(prefix);
}

fn check_rule(method: AnomalyMethod, threshold: f64, min_baseline_count: u64) {
    assert_ne!(method, AnomalyMethod::Unspecified);
    assert!((0.1..=1_000.0).contains(&threshold) && min_baseline_count >= 2);
}

fn check_selectors(selectors: &[Selector]) {
    assert!((1..=100).contains(&selectors.len()));
    for selector in selectors {
        check_id(&selector.metric_name);
        match &selector.device {
            DeviceSelector::Id(id) => check_id(id),
            DeviceSelector::Prefix(prefix) => check_prefix(prefix),
        }
    }
}

fn check_id(id: &str) {
    assert!(!id.is_empty());
    check_prefix(id);
}

fn check_prefix(prefix: &str) {
    assert!(prefix.len() <= 256 && !prefix.chars().any(char::is_control));
    assert!(
        series::prefix_end(prefix).is_none_or(|end| *end > *prefix),
        "the end of a prefix is after the prefix"
    );
}

#[cfg(test)]
mod tests;

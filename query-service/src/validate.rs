//! Validates requests and converts them to queries. Pure: depends neither on SQL nor on which
//! series exist.

mod aggregated;
mod anomalies;
mod latest;
mod listing;
mod watch;

use prost_types::Timestamp;
use shared::proto::v1::{self, series_selector};
use shared::time;

use crate::error::QueryError;
use crate::lttb;

pub(crate) use aggregated::{AggregatedQuery, GapFill, MAX_WIDTH_DAYS};
pub(crate) use anomalies::AnomalyQuery;
pub(crate) use latest::LatestQuery;
pub(crate) use listing::{DeviceListing, MetricListing};
pub(crate) use watch::WatchQuery;

/// The maximum number of selectors in one request.
const MAX_SELECTORS: usize = 100;
/// The maximum number of points per series of a downsampled answer.
const MAX_POINTS: usize = 1_000_000;
/// The maximum length of an id, the same as in ingest-service.
const ID_MAX_BYTES: usize = 256;

/// The devices that a selector matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeviceSelector {
    Id(String),
    Prefix(String),
}

/// A selector of the series of one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) device: DeviceSelector,
    pub(crate) metric_name: String,
}

/// A query for the raw points of an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeQuery {
    pub(crate) selectors: Vec<Selector>,
    /// [start, end) in microseconds. Empty if the requested interval was between two microseconds.
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// The maximum number of points per series. `None` for all points.
    pub(crate) max_points: Option<usize>,
}

impl RangeQuery {
    pub(crate) fn check(request: v1::QueryRangeRequest) -> Result<Self, QueryError> {
        let (start, end) = interval(request.start.as_ref(), request.end.as_ref())?;
        let max_points = max_points(request.max_points)?;
        Ok(Self { selectors: selectors(request.selectors)?, start, end, max_points })
    }
}

fn max_points(max_points: u32) -> Result<Option<usize>, QueryError> {
    match usize::try_from(max_points).unwrap_or(usize::MAX) {
        0 => Ok(None),
        most if (lttb::MIN_POINTS..=MAX_POINTS).contains(&most) => Ok(Some(most)),
        most => {
            let description =
                format!("is {most}; use {} to {MAX_POINTS}, or 0 for all points", lttb::MIN_POINTS);
            Err(QueryError::invalid("max_points", description))
        }
    }
}

fn selectors(selectors: Vec<v1::SeriesSelector>) -> Result<Vec<Selector>, QueryError> {
    let found = selectors.len();
    if found == 0 || found > MAX_SELECTORS {
        let description = format!("has {found} entries; it must have 1 to {MAX_SELECTORS}");
        return Err(QueryError::invalid("selectors", description));
    }
    selectors
        .into_iter()
        .enumerate()
        .map(|(index, selector)| check_selector(index, selector))
        .collect()
}

fn check_selector(index: usize, selector: v1::SeriesSelector) -> Result<Selector, QueryError> {
    let field = |name: &str| format!("selectors[{index}].{name}");
    let device = match selector.device {
        Some(series_selector::Device::DeviceId(id)) => {
            check_id(&field("device_id"), &id)?;
            DeviceSelector::Id(id)
        }
        Some(series_selector::Device::DeviceIdPrefix(prefix)) => {
            check_prefix(&field("device_id_prefix"), &prefix)?;
            DeviceSelector::Prefix(prefix)
        }
        None => {
            return Err(QueryError::invalid(
                field("device"),
                "is missing: set device_id or device_id_prefix",
            ));
        }
    };
    check_id(&field("metric_name"), &selector.metric_name)?;
    Ok(Selector { device, metric_name: selector.metric_name })
}

fn check_id(field: &str, id: &str) -> Result<(), QueryError> {
    if id.is_empty() {
        return Err(QueryError::invalid(
            field,
            format!("is empty; it must have 1 to {ID_MAX_BYTES} bytes"),
        ));
    }
    check_prefix(field, id)
}

fn check_prefix(field: &str, prefix: &str) -> Result<(), QueryError> {
    if prefix.len() > ID_MAX_BYTES {
        let description = format!("has {} bytes; the limit is {ID_MAX_BYTES}", prefix.len());
        return Err(QueryError::invalid(field, description));
    }
    if prefix.chars().any(char::is_control) {
        let description = "contains a control character, which an id never contains";
        return Err(QueryError::invalid(field, description));
    }
    Ok(())
}

/// Returns the bound of an interval in nanoseconds since 1970-01-01T00:00:00Z.
fn instant(field: &str, timestamp: Option<&Timestamp>) -> Result<i128, QueryError> {
    let Some(timestamp) = timestamp else { return Err(QueryError::invalid(field, "is missing")) };
    time::nanos_of(timestamp).ok_or_else(|| {
        QueryError::invalid(field, "is not a valid timestamp in the years 1 to 9999")
    })
}

fn interval(start: Option<&Timestamp>, end: Option<&Timestamp>) -> Result<(i64, i64), QueryError> {
    rounded(instant("start", start)?, instant("end", end)?)
}

/// Rounds both bounds of an interval from nanoseconds up to whole microseconds. Points are stored
/// in whole microseconds, so the interval contains the same points before and after. The result is
/// empty if the interval was between two microseconds.
fn rounded(start: i128, end: i128) -> Result<(i64, i64), QueryError> {
    if end <= start {
        let description = format!(
            "{} is not after start {}",
            time::display_nanos(end),
            time::display_nanos(start)
        );
        return Err(QueryError::invalid("end", description));
    }
    Ok((time::round_up_to_micros(start), time::round_up_to_micros(end)))
}

#[cfg(test)]
mod tests;

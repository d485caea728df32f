//! Requests to checked queries. Pure: knows neither SQL nor what exists.

mod anomalies;
mod latest;
mod listing;
mod watch;

use prost_types::Timestamp;
use shared::granularity::Granularity;
use shared::proto::v1::{self, Statistic, series_selector};
use shared::time;

use crate::error::QueryError;
use crate::lttb;

pub(crate) use anomalies::AnomalyQuery;
pub(crate) use latest::LatestQuery;
pub(crate) use listing::{DeviceListing, MetricListing};
pub(crate) use watch::WatchQuery;

/// Most selectors in one request.
const MAX_SELECTORS: usize = 100;
/// Most points of a series that is downsampled.
const MAX_POINTS: usize = 1_000_000;
/// Longest id, as the ingest side accepts it.
const ID_MAX_BYTES: usize = 256;

/// Which devices a selector means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeviceSelector {
    Id(String),
    Prefix(String),
}

/// Series of one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) device: DeviceSelector,
    pub(crate) metric_name: String,
}

/// Raw points of an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeQuery {
    pub(crate) selectors: Vec<Selector>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Most points a series; none: all.
    pub(crate) max_points: Option<usize>,
}

/// Buckets of an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AggregatedQuery {
    pub(crate) selectors: Vec<Selector>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) granularity: Granularity,
    pub(crate) statistics: Vec<Statistic>,
}

impl RangeQuery {
    pub(crate) fn check(request: v1::QueryRangeRequest) -> Result<Self, QueryError> {
        let (start, end) = interval(request.start.as_ref(), request.end.as_ref())?;
        let max_points = max_points(request.max_points)?;
        Ok(Self { selectors: selectors(request.selectors)?, start, end, max_points })
    }
}

impl AggregatedQuery {
    pub(crate) fn check(request: v1::QueryAggregatedRequest) -> Result<Self, QueryError> {
        let (start, end) = interval(request.start.as_ref(), request.end.as_ref())?;
        let granularity = match request.granularity() {
            v1::Granularity::Raw => Granularity::Raw,
            v1::Granularity::Minute => Granularity::Minute,
            v1::Granularity::Hour => Granularity::Hour,
            v1::Granularity::Day => Granularity::Day,
            _ if v1::Granularity::try_from(request.granularity).is_err() => {
                let sentence = format!("is {}, which is none of AUTO, RAW, MINUTE, HOUR, DAY", request.granularity);
                return Err(QueryError::invalid("granularity", sentence));
            }
            v1::Granularity::Unspecified | v1::Granularity::Auto => {
                return Err(QueryError::Unimplemented("granularity AUTO"));
            }
        };
        check_served(&request)?;
        Ok(Self {
            statistics: statistics(&request)?,
            selectors: selectors(request.selectors)?,
            start,
            end,
            granularity,
        })
    }
}

fn max_points(max_points: u32) -> Result<Option<usize>, QueryError> {
    match usize::try_from(max_points).unwrap_or(usize::MAX) {
        0 => Ok(None),
        most if (lttb::FEWEST..=MAX_POINTS).contains(&most) => Ok(Some(most)),
        most => {
            let sentence = format!("is {most}; 0 (all points) or {} to {MAX_POINTS} are accepted", lttb::FEWEST);
            Err(QueryError::invalid("max_points", sentence))
        }
    }
}

fn check_served(request: &v1::QueryAggregatedRequest) -> Result<(), QueryError> {
    let fills = matches!(request.gap_fill(), v1::GapFill::Unspecified | v1::GapFill::None);
    let combines = matches!(request.combine(), v1::Combine::Unspecified | v1::Combine::Series);
    let parts = [
        (request.max_points == 0, "max_points"),
        (request.bucket_width.is_none(), "bucket_width"),
        (request.time_zone.is_empty(), "time_zone"),
        (fills, "gap_fill"),
        (combines, "combine"),
    ];
    match parts.into_iter().find(|(served, _)| !served) {
        Some((_, what)) => Err(QueryError::Unimplemented(what)),
        None => Ok(()),
    }
}

fn statistics(request: &v1::QueryAggregatedRequest) -> Result<Vec<Statistic>, QueryError> {
    use Statistic::{Avg, Count, First, Last, Max, Min, Rate, Stddev, Sum, Unspecified};
    let mut statistics = Vec::new();
    for &number in &request.statistics {
        match Statistic::try_from(number) {
            Err(_) | Ok(Unspecified) => {
                let sentence = format!("has {number}, which is none of the contract's Statistic");
                return Err(QueryError::invalid("statistics", sentence));
            }
            Ok(Rate) => return Err(QueryError::Unimplemented("STATISTIC_RATE")),
            Ok(statistic) => statistics.push(statistic),
        }
    }
    if statistics.is_empty() {
        statistics = vec![Avg, Max, Min, Sum, Count, First, Last, Stddev];
    }
    Ok(statistics)
}

fn selectors(selectors: Vec<v1::SeriesSelector>) -> Result<Vec<Selector>, QueryError> {
    let found = selectors.len();
    if found == 0 || found > MAX_SELECTORS {
        let sentence = format!("has {found} entries; 1 to {MAX_SELECTORS} are accepted");
        return Err(QueryError::invalid("selectors", sentence));
    }
    selectors.into_iter().enumerate().map(|(index, selector)| check_selector(index, selector)).collect()
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
        None => return Err(QueryError::invalid(field("device"), "is missing: set device_id or device_id_prefix")),
    };
    check_id(&field("metric_name"), &selector.metric_name)?;
    Ok(Selector { device, metric_name: selector.metric_name })
}

fn check_id(field: &str, id: &str) -> Result<(), QueryError> {
    if id.is_empty() {
        return Err(QueryError::invalid(field, format!("is empty; it needs 1 to {ID_MAX_BYTES} bytes")));
    }
    check_prefix(field, id)
}

fn check_prefix(field: &str, prefix: &str) -> Result<(), QueryError> {
    if prefix.len() > ID_MAX_BYTES {
        let sentence = format!("has {} bytes; the limit is {ID_MAX_BYTES}", prefix.len());
        return Err(QueryError::invalid(field, sentence));
    }
    if prefix.chars().any(char::is_control) {
        return Err(QueryError::invalid(field, "has a control character, which no id has"));
    }
    Ok(())
}

fn instant(field: &str, timestamp: Option<&Timestamp>) -> Result<i64, QueryError> {
    let Some(timestamp) = timestamp else { return Err(QueryError::invalid(field, "is missing")) };
    time::from_timestamp(timestamp)
        .ok_or_else(|| QueryError::invalid(field, "is not a valid timestamp of the years 1 to 9999"))
}

fn interval(start: Option<&Timestamp>, end: Option<&Timestamp>) -> Result<(i64, i64), QueryError> {
    let (start, end) = (instant("start", start)?, instant("end", end)?);
    if end <= start {
        let sentence = format!("{} is not after start {}", time::display(end), time::display(start));
        return Err(QueryError::invalid("end", sentence));
    }
    Ok((start, end))
}

#[cfg(test)]
mod tests;

//! Validates `QueryAggregated`.

use jiff::tz::{TimeZone, TimeZoneDatabase};
use shared::granularity::Granularity;
use shared::proto::v1::{self, Statistic};
use shared::time;

use super::{Selector, interval, selectors};
use crate::error::QueryError;

/// The maximum width of a bucket, in days.
pub(crate) const MAX_WIDTH_DAYS: i64 = 36_500;
/// The maximum of `max_points`, in buckets per series.
const MAX_MAX_POINTS: u32 = 1_000_000;
const MINUTE: i64 = 60_000_000;

/// The way in which buckets without points are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GapFill {
    None,
    Null,
    Last,
    Linear,
}

/// A query for the buckets of an interval.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AggregatedQuery {
    pub(crate) selectors: Vec<Selector>,
    /// [start, end) in microseconds. Never empty, unless each point is a bucket of its own.
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// `None` for AUTO.
    pub(crate) granularity: Option<Granularity>,
    /// The maximum number of buckets per series. `None` if the request does not set it.
    pub(crate) max_points: Option<u32>,
    /// The width in microseconds, in whole minutes. `None` if the request does not set it.
    pub(crate) bucket_width: Option<i64>,
    /// `None` for UTC.
    pub(crate) time_zone: Option<TimeZone>,
    pub(crate) statistics: Vec<Statistic>,
    pub(crate) gap_fill: GapFill,
    /// Whether all devices of a selector are combined into one answer.
    pub(crate) combine_devices: bool,
    /// The queried statistic that no rollup stores, if any.
    pub(crate) raw_only: Option<&'static str>,
}

impl AggregatedQuery {
    /// The `max_points` of AUTO if the request does not set it.
    pub(crate) const DEFAULT_MAX_POINTS: u32 = 1_000;

    pub(crate) fn check(request: v1::QueryAggregatedRequest) -> Result<Self, QueryError> {
        let (start, end) = interval(request.start.as_ref(), request.end.as_ref())?;
        let combine_devices = combine_devices(request.combine)?;
        let statistics = statistics(&request.statistics, combine_devices)?;
        let mut query = Self {
            start,
            end,
            granularity: granularity(request.granularity)?,
            max_points: max_points(request.max_points)?,
            bucket_width: request.bucket_width.as_ref().map(bucket_width).transpose()?,
            time_zone: time_zone(&request.time_zone)?,
            raw_only: raw_only(&statistics, combine_devices),
            statistics,
            gap_fill: gap_fill(request.gap_fill)?,
            combine_devices,
            selectors: selectors(request.selectors)?,
        };
        query.check_points_alone()?;
        if query.start == query.end && !query.of_points() {
            // An interval between two microseconds overlaps the bucket of the earlier one.
            query.start -= 1;
        }
        Ok(query)
    }

    /// Returns whether each point is a bucket of its own.
    fn of_points(&self) -> bool {
        self.granularity == Some(Granularity::Raw) && self.bucket_width.is_none()
    }

    fn check_points_alone(&self) -> Result<(), QueryError> {
        let needs_buckets = [
            (self.gap_fill != GapFill::None, "gap_fill", "NONE"),
            (self.combine_devices, "combine", "SERIES"),
            (
                self.statistics.contains(&Statistic::Rate),
                "statistics",
                "statistics other than RATE",
            ),
        ];
        let broken =
            needs_buckets.into_iter().find(|(is_requested, ..)| *is_requested && self.of_points());
        broken.map_or(Ok(()), |(_, field, accepted)| {
            let description = format!(
                "needs buckets, but granularity is RAW without a bucket_width: \
                 set bucket_width, or use {accepted}"
            );
            Err(QueryError::invalid(field, description))
        })
    }
}

fn granularity(number: i32) -> Result<Option<Granularity>, QueryError> {
    match v1::Granularity::try_from(number) {
        Ok(v1::Granularity::Unspecified | v1::Granularity::Auto) => Ok(None),
        Ok(v1::Granularity::Raw) => Ok(Some(Granularity::Raw)),
        Ok(v1::Granularity::Minute) => Ok(Some(Granularity::Minute)),
        Ok(v1::Granularity::Hour) => Ok(Some(Granularity::Hour)),
        Ok(v1::Granularity::Day) => Ok(Some(Granularity::Day)),
        Err(_) => Err(none_of("granularity", number, "AUTO, RAW, MINUTE, HOUR, DAY")),
    }
}

fn max_points(max_points: u32) -> Result<Option<u32>, QueryError> {
    match max_points {
        0 => Ok(None),
        2..=MAX_MAX_POINTS => Ok(Some(max_points)),
        other => {
            let default = AggregatedQuery::DEFAULT_MAX_POINTS;
            let description =
                format!("is {other}; use 2 to {MAX_MAX_POINTS}, or 0 for the default of {default}");
            Err(QueryError::invalid("max_points", description))
        }
    }
}

fn bucket_width(width: &prost_types::Duration) -> Result<i64, QueryError> {
    let limit = MAX_WIDTH_DAYS * 86_400_000_000;
    let whole_micros = width.nanos % 1_000 == 0;
    time::from_duration(width)
        .filter(|&micros| {
            whole_micros && (MINUTE..=limit).contains(&micros) && micros % MINUTE == 0
        })
        .ok_or_else(|| {
            let description = format!(
                "must be a whole number of minutes, from 1 minute to {MAX_WIDTH_DAYS} days"
            );
            QueryError::invalid("bucket_width", description)
        })
}

fn time_zone(name: &str) -> Result<Option<TimeZone>, QueryError> {
    if name.is_empty() {
        return Ok(None);
    }
    let zone = TimeZoneDatabase::bundled().get(name).map_err(|_| {
        let shown: String = name.chars().take(64).collect();
        let description = format!(
            "is {shown:?}, which is not in the IANA time zone database; \
             use a name such as \"Europe/Berlin\", or leave it empty for UTC"
        );
        QueryError::invalid("time_zone", description)
    })?;
    Ok((zone != TimeZone::UTC).then_some(zone))
}

fn gap_fill(number: i32) -> Result<GapFill, QueryError> {
    match v1::GapFill::try_from(number) {
        Ok(v1::GapFill::Unspecified | v1::GapFill::None) => Ok(GapFill::None),
        Ok(v1::GapFill::Null) => Ok(GapFill::Null),
        Ok(v1::GapFill::Last) => Ok(GapFill::Last),
        Ok(v1::GapFill::Linear) => Ok(GapFill::Linear),
        Err(_) => Err(none_of("gap_fill", number, "NONE, NULL, LAST, LINEAR")),
    }
}

fn combine_devices(number: i32) -> Result<bool, QueryError> {
    match v1::Combine::try_from(number) {
        Ok(combine) => Ok(combine == v1::Combine::Devices),
        Err(_) => Err(none_of("combine", number, "SERIES, DEVICES")),
    }
}

/// Returns the requested statistics without repetitions. If there are none, returns all that a
/// rollup can answer.
fn statistics(numbers: &[i32], combine_devices: bool) -> Result<Vec<Statistic>, QueryError> {
    use Statistic::{Avg, Count, First, Last, Max, Min, Stddev, Sum, Unspecified};
    let mut statistics = Vec::new();
    for &number in numbers {
        match Statistic::try_from(number) {
            Err(_) | Ok(Unspecified) => {
                let accepted = "AVG, MAX, MIN, SUM, COUNT, FIRST, LAST, STDDEV, RATE";
                return Err(none_of("statistics", number, accepted));
            }
            Ok(statistic) if statistics.contains(&statistic) => {}
            Ok(statistic) => statistics.push(statistic),
        }
    }
    Ok(match (statistics.is_empty(), combine_devices) {
        (false, _) => statistics,
        (true, false) => vec![Avg, Max, Min, Sum, Count, First, Last, Stddev],
        (true, true) => vec![Avg, Max, Min, Sum, Count, Stddev],
    })
}

/// Returns the first of the statistics that only points can answer. An increase is the difference
/// of two points. A rollup does not store which of several devices had the first or last point.
fn raw_only(statistics: &[Statistic], combine_devices: bool) -> Option<&'static str> {
    let has = |statistic| statistics.contains(&statistic);
    match combine_devices {
        _ if has(Statistic::Rate) => Some("RATE"),
        true if has(Statistic::First) => Some("FIRST of several devices"),
        true if has(Statistic::Last) => Some("LAST of several devices"),
        _ => None,
    }
}

fn none_of(field: &str, number: i32, accepted: &str) -> QueryError {
    QueryError::invalid(field, format!("has the value {number}; it must be one of {accepted}"))
}

#[cfg(test)]
#[path = "aggregated_tests.rs"]
mod tests;

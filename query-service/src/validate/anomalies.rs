//! Validates `DetectAnomalies`.

use shared::granularity::Granularity;
use shared::proto::v1::{self, AnomalyMethod};
use shared::time;

use super::{check_id, instant, rounded};
use crate::error::QueryError;

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 86_400_000_000;
const WEEK: i64 = 7 * DAY;
const DEFAULT_WINDOW: i64 = 60 * MINUTE;
const MAX_WINDOW: i64 = 31 * DAY;
const DEFAULT_BASELINE: i64 = DAY;
const MAX_BASELINE: i64 = 366 * DAY;
const DEFAULT_SEASONAL_BASELINE: i64 = 4 * WEEK;
const MAX_SEASONAL_BASELINE: i64 = 52 * WEEK;
const DEFAULT_THRESHOLD: f64 = 3.0;
const DEFAULT_MIN_BASELINE_COUNT: u32 = 30;
const DEFAULT_MAX_ANOMALIES: u32 = 1_000;
const MAX_MAX_ANOMALIES: u32 = 10_000;

/// A query that judges the points of a window by a baseline before it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AnomalyQuery {
    pub(crate) device_id: String,
    pub(crate) metric_name: String,
    /// Never `Unspecified`.
    pub(crate) method: AnomalyMethod,
    /// The window to judge, [start, end) in microseconds. Empty if the requested window was between
    /// two microseconds.
    pub(crate) window: (i64, i64),
    /// The baseline before the window, [start, end) in microseconds: whole minutes, or for
    /// `Seasonal` whole weeks that end on an hour.
    pub(crate) baseline: (i64, i64),
    pub(crate) threshold: f64,
    pub(crate) min_baseline_count: u64,
    pub(crate) max_anomalies: u32,
}

impl AnomalyQuery {
    pub(crate) fn check(request: v1::DetectAnomaliesRequest, now: i64) -> Result<Self, QueryError> {
        let method = method(request.method)?;
        let window = window(&request, now)?;
        let baseline_end = match method {
            AnomalyMethod::Seasonal => Granularity::Hour.floor(window.0),
            _ => Granularity::Minute.floor(window.0),
        };
        let baseline =
            (baseline_end - baseline_length(method, request.baseline.as_ref())?, baseline_end);
        let threshold = threshold(request.threshold)?;
        let min_baseline_count = min_baseline_count(request.min_baseline_count)?;
        let max_anomalies = max_anomalies(request.max_anomalies)?;
        let Some(series) = request.series else {
            return Err(QueryError::invalid("series", "is missing"));
        };
        check_id("series.device_id", &series.device_id)?;
        check_id("series.metric_name", &series.metric_name)?;
        let v1::SeriesKey { device_id, metric_name } = series;
        Ok(Self {
            device_id,
            metric_name,
            method,
            window,
            baseline,
            threshold,
            min_baseline_count,
            max_anomalies,
        })
    }
}

pub(super) fn method(method: i32) -> Result<AnomalyMethod, QueryError> {
    match AnomalyMethod::try_from(method) {
        Ok(AnomalyMethod::Unspecified) => Ok(AnomalyMethod::ZScore),
        Ok(method) => Ok(method),
        Err(_) => {
            let description =
                format!("has the value {method}; it must be one of Z_SCORE, ROBUST, SEASONAL");
            Err(QueryError::invalid("method", description))
        }
    }
}

fn window(request: &v1::DetectAnomaliesRequest, now: i64) -> Result<(i64, i64), QueryError> {
    let end = request.end.as_ref().map_or(Ok(nanos(now)), |end| instant("end", Some(end)))?;
    let start = match (&request.start, &request.window) {
        (Some(_), Some(_)) => {
            let description = "cannot be combined with start: set only one of them";
            return Err(QueryError::invalid("window", description));
        }
        (Some(start), None) => instant("start", Some(start))?,
        (None, None) => end - nanos(DEFAULT_WINDOW),
        (None, Some(window)) => {
            let micros = duration("window", window, 1, MAX_WINDOW)?;
            end - time::nanos_of_duration(window).unwrap_or(nanos(micros))
        }
    };
    let window = rounded(start, end)?;
    if end - start > nanos(MAX_WINDOW) {
        return Err(QueryError::invalid(
            "start",
            "is more than 31 days before end, which is the limit: use a shorter window",
        ));
    }
    Ok(window)
}

fn nanos(micros: i64) -> i128 {
    i128::from(micros) * 1_000
}

pub(super) fn baseline_length(
    method: AnomalyMethod,
    baseline: Option<&prost_types::Duration>,
) -> Result<i64, QueryError> {
    if method == AnomalyMethod::Seasonal {
        let Some(baseline) = baseline else { return Ok(DEFAULT_SEASONAL_BASELINE) };
        let weeks = time::from_duration(baseline)
            .filter(|micros| (WEEK..=MAX_SEASONAL_BASELINE).contains(micros) && micros % WEEK == 0);
        let description =
            format!("must be 1 to {} whole weeks for SEASONAL", MAX_SEASONAL_BASELINE / WEEK);
        return weeks.ok_or_else(|| QueryError::invalid("baseline", description));
    }
    let Some(baseline) = baseline else { return Ok(DEFAULT_BASELINE) };
    let micros = duration("baseline", baseline, MINUTE, MAX_BASELINE)?;
    if micros % MINUTE != 0 {
        return Err(QueryError::invalid("baseline", "must be a whole number of minutes"));
    }
    Ok(micros)
}

fn duration(
    field: &str,
    duration: &prost_types::Duration,
    least: i64,
    most: i64,
) -> Result<i64, QueryError> {
    time::from_duration(duration).filter(|micros| (least..=most).contains(micros)).ok_or_else(
        || {
            let unit = if least == MINUTE { "1 minute" } else { "1 microsecond" };
            QueryError::invalid(field, format!("must be from {unit} to {} days", most / DAY))
        },
    )
}

pub(super) fn threshold(threshold: f64) -> Result<f64, QueryError> {
    let threshold = if threshold == 0.0 { DEFAULT_THRESHOLD } else { threshold };
    if !(0.1..=1_000.0).contains(&threshold) {
        return Err(QueryError::invalid(
            "threshold",
            format!("is {threshold}; use 0.1 to 1000, or 0 for the default of {DEFAULT_THRESHOLD}"),
        ));
    }
    Ok(threshold)
}

pub(super) fn min_baseline_count(count: u32) -> Result<u64, QueryError> {
    match if count == 0 { DEFAULT_MIN_BASELINE_COUNT } else { count } {
        1 => {
            let description = format!(
                "is 1; use 2 or more, or 0 for the default of {DEFAULT_MIN_BASELINE_COUNT}"
            );
            Err(QueryError::invalid("min_baseline_count", description))
        }
        count => Ok(u64::from(count)),
    }
}

fn max_anomalies(most: u32) -> Result<u32, QueryError> {
    let most = if most == 0 { DEFAULT_MAX_ANOMALIES } else { most };
    if most > MAX_MAX_ANOMALIES {
        let description = format!("is {most}; the limit is {MAX_MAX_ANOMALIES}");
        return Err(QueryError::invalid("max_anomalies", description));
    }
    Ok(most)
}

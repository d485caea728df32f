//! Validates `GetLatest`.

use shared::proto::v1;

use super::check_id;
use crate::error::QueryError;
use crate::series::MAX_SERIES;

/// A query for the newest points of some series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LatestQuery {
    /// The device id and the metric name of each series, in two columns.
    Series(Vec<String>, Vec<String>),
    /// Every series of a device.
    Device(String),
}

impl LatestQuery {
    pub(crate) fn check(request: v1::GetLatestRequest) -> Result<Self, QueryError> {
        match (request.series.len(), request.device_id.is_empty()) {
            (0, true) => Err(QueryError::invalid(
                "series",
                "is empty, and device_id is too: set one of them",
            )),
            (0, false) => {
                check_id("device_id", &request.device_id)?;
                Ok(Self::Device(request.device_id))
            }
            (_, false) => {
                let description = "cannot be combined with series: set only one of them";
                Err(QueryError::invalid("device_id", description))
            }
            (found, true) if found > MAX_SERIES => Err(QueryError::invalid(
                "series",
                format!("has {found} entries; the limit is {MAX_SERIES}"),
            )),
            (_, true) => {
                for (index, series) in request.series.iter().enumerate() {
                    check_id(&format!("series[{index}].device_id"), &series.device_id)?;
                    check_id(&format!("series[{index}].metric_name"), &series.metric_name)?;
                }
                let names =
                    request.series.into_iter().map(|series| (series.device_id, series.metric_name));
                let (devices, metrics) = names.unzip();
                Ok(Self::Series(devices, metrics))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(series: Vec<v1::SeriesKey>, device_id: &str) -> String {
        let request = v1::GetLatestRequest { series, device_id: device_id.to_owned() };
        LatestQuery::check(request).unwrap_err().to_string()
    }

    #[test]
    fn a_request_names_either_series_or_a_device() {
        let key = |device_id: &str| v1::SeriesKey {
            device_id: device_id.to_owned(),
            metric_name: "m".to_owned(),
        };
        assert_eq!(refused(vec![], ""), "series: is empty, and device_id is too: set one of them");
        assert_eq!(
            refused(vec![key("d")], "d"),
            "device_id: cannot be combined with series: set only one of them"
        );
        assert_eq!(
            refused(vec![key("d"); 10_001], ""),
            "series: has 10001 entries; the limit is 10000"
        );
        assert!(refused(vec![key("d"), key("")], "").starts_with("series[1].device_id: is empty"));
    }
}

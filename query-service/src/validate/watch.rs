//! Validates `WatchAnomalies`.

use shared::proto::v1::{self, AnomalyMethod};
use siphasher::sip::SipHasher13;

use super::{DeviceSelector, Selector, anomalies, selectors};
use crate::error::QueryError;

/// A subscription to the anomalies of several series, each judged by the baseline before it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WatchQuery {
    pub(crate) selectors: Vec<Selector>,
    /// Never `Unspecified`.
    pub(crate) method: AnomalyMethod,
    /// The length of the baseline in microseconds.
    pub(crate) baseline: i64,
    pub(crate) threshold: f64,
    pub(crate) min_baseline_count: u64,
    /// Empty for a new subscription.
    pub(crate) resume_token: String,
}

impl WatchQuery {
    pub(crate) fn check(request: v1::WatchAnomaliesRequest) -> Result<Self, QueryError> {
        let method = anomalies::method(request.method)?;
        Ok(Self {
            method,
            baseline: anomalies::baseline_length(method, request.baseline.as_ref())?,
            threshold: anomalies::threshold(request.threshold)?,
            min_baseline_count: anomalies::min_baseline_count(request.min_baseline_count)?,
            selectors: selectors(request.selectors)?,
            resume_token: request.resume_token,
        })
    }

    /// Returns a hash of the request without its token, which binds a token to the request. It is
    /// the same on every instance and in every version.
    pub(crate) fn fingerprint(&self) -> u64 {
        let Self { method, baseline, threshold, min_baseline_count, .. } = self;
        let mut text =
            format!("{}\0{baseline}\0{threshold:e}\0{min_baseline_count}", *method as i32);
        for Selector { device, metric_name } in &self.selectors {
            let (kind, name) = match device {
                DeviceSelector::Id(id) => ("id", id),
                DeviceSelector::Prefix(prefix) => ("prefix", prefix),
            };
            // Ids contain no control characters, so that `\0` separates the parts.
            text.extend(["\0", kind, "\0", name, "\0", metric_name]);
        }
        SipHasher13::new().hash(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(device_id: &str) -> v1::WatchAnomaliesRequest {
        let device = Some(v1::series_selector::Device::DeviceId(device_id.to_owned()));
        let selectors = vec![v1::SeriesSelector { device, metric_name: "temperature".to_owned() }];
        v1::WatchAnomaliesRequest { selectors, ..Default::default() }
    }

    #[test]
    fn a_fingerprint_is_stable_and_differs_between_requests() {
        let fingerprint = |request| WatchQuery::check(request).unwrap().fingerprint();
        let expected = fingerprint(request("gate-1"));
        assert_eq!(
            expected,
            fingerprint(v1::WatchAnomaliesRequest {
                threshold: 3.0,
                method: 1,
                ..request("gate-1")
            })
        );
        assert_eq!(
            expected,
            fingerprint(v1::WatchAnomaliesRequest {
                resume_token: "x".to_owned(),
                ..request("gate-1")
            })
        );
        let others = [
            request("gate-2"),
            v1::WatchAnomaliesRequest { threshold: 4.0, ..request("gate-1") },
            v1::WatchAnomaliesRequest { method: 2, ..request("gate-1") },
            v1::WatchAnomaliesRequest { min_baseline_count: 7, ..request("gate-1") },
        ];
        for other in others {
            assert_ne!(fingerprint(other), expected);
        }
    }

    #[test]
    fn a_refusal_names_the_limit() {
        let refused = |request| WatchQuery::check(request).unwrap_err().to_string();
        assert!(refused(v1::WatchAnomaliesRequest::default()).contains("1 to 100"));
        assert!(
            refused(v1::WatchAnomaliesRequest { method: 7, ..request("gate-1") })
                .contains("ROBUST, SEASONAL")
        );
        assert!(
            refused(v1::WatchAnomaliesRequest { threshold: 0.01, ..request("gate-1") })
                .contains("0.1 to 1000")
        );
        let day = Some(prost_types::Duration { seconds: 86_400, nanos: 0 });
        let seasonal = v1::WatchAnomaliesRequest { baseline: day, method: 3, ..request("gate-1") };
        assert!(refused(seasonal).contains("1 to 52 whole weeks"));
    }
}

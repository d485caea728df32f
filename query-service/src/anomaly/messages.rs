//! Anomalies and baselines as messages of the contract.

use shared::proto::v1::{self, BaselineState};
use shared::time;

use super::rules::{Judge, Moments};
use crate::store::Point;

/// Returns a point as an anomaly, or `None` if the judge finds it within its bounds.
pub(crate) fn anomaly(judge: &Judge, point: Point) -> Option<v1::Anomaly> {
    let (score, direction) = judge.judge(point.value)?;
    Some(v1::Anomaly {
        timestamp: Some(time::to_timestamp(point.timestamp)),
        value: point.value,
        expected_value: judge.expected,
        lower_bound: judge.lower,
        upper_bound: judge.upper,
        score,
        direction: direction as i32,
    })
}

/// Returns a baseline over an interval [start, end), without the values of the robust rule.
pub(crate) fn baseline(
    (start, end): (i64, i64),
    moments: &Moments,
    state: BaselineState,
) -> v1::Baseline {
    v1::Baseline {
        start: Some(time::to_timestamp(start)),
        end: Some(time::to_timestamp(end)),
        count: moments.count,
        mean: moments.mean,
        stddev: moments.stddev(),
        state: state as i32,
        median: None,
        median_absolute_deviation: None,
    }
}

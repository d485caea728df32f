//! `DetectAnomalies`.

use shared::proto::v1::{self, BaselineState};
use shared::time;

use crate::anomaly::{BaselineStats, Judge};
use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::series;
use crate::store::{self, Point};
use crate::validate::AnomalyQuery;

pub(super) async fn detect(
    pool: ReadPool,
    request: v1::DetectAnomaliesRequest,
    now: i64,
) -> Result<v1::DetectAnomaliesResponse, QueryError> {
    let query = AnomalyQuery::check(request, now)?;
    let series_id = series::find_one(&pool, &query.device_id, &query.metric_name).await?;
    let stats = store::baseline(&pool, series_id, query.baseline.0, query.baseline.1).await?;
    let judge = Judge::z_score(&stats, query.threshold, query.min_baseline_count);
    let tested_count = match judge.state {
        BaselineState::Insufficient => 0,
        _ => store::count(&pool, series_id, query.window.0, query.window.1).await?,
    };
    let most = query.max_anomalies as usize;
    let mut outside = match tested_count {
        0 => Vec::new(),
        _ => {
            let bounds = (judge.lower, judge.upper);
            store::outside(&pool, series_id, query.window, bounds, i64::from(query.max_anomalies) + 1).await?
        }
    };
    let anomalies_truncated = outside.len() > most;
    outside.truncate(most);
    Ok(v1::DetectAnomaliesResponse {
        anomalies: outside.into_iter().filter_map(|point| anomaly(&judge, point)).collect(),
        anomalies_truncated,
        method: v1::AnomalyMethod::ZScore as i32,
        baseline: Some(baseline(&query, &stats, judge.state)),
        tested_count,
        start: Some(time::to_timestamp(query.window.0)),
        end: Some(time::to_timestamp(query.window.1)),
    })
}

fn anomaly(judge: &Judge, point: Point) -> Option<v1::Anomaly> {
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

fn baseline(query: &AnomalyQuery, stats: &BaselineStats, state: BaselineState) -> v1::Baseline {
    v1::Baseline {
        start: Some(time::to_timestamp(query.baseline.0)),
        end: Some(time::to_timestamp(query.baseline.1)),
        count: stats.count,
        mean: stats.mean,
        stddev: stats.stddev,
        state: state as i32,
    }
}

//! The handler of `DetectAnomalies`.

use shared::proto::v1;
use shared::time;

use crate::anomaly::messages;
use crate::anomaly::window_judges::{self, WindowJudges};
use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::relations::Relations;
use crate::series::SeriesFinder;
use crate::validate::AnomalyQuery;

pub(super) async fn handle(
    pool: ReadPool,
    relations: Relations,
    finder: SeriesFinder,
    request: v1::DetectAnomaliesRequest,
    now: i64,
) -> Result<v1::DetectAnomaliesResponse, QueryError> {
    let query = AnomalyQuery::check(request, now)?;
    let series_id = finder.find_one(&query.device_id, &query.metric_name).await?;
    let ((judges, baseline), counts) = tokio::try_join!(
        WindowJudges::read(&pool, &relations, series_id, &query),
        window_judges::counts(&pool, series_id, &query)
    )?;
    let (tested_count, not_judged_count) = judges.divide(&counts);
    let most = query.max_anomalies as usize;
    let mut outside = match tested_count {
        0 => Vec::new(),
        _ => {
            judges
                .outside(&pool, series_id, query.window, i64::from(query.max_anomalies) + 1)
                .await?
        }
    };
    let anomalies_truncated = outside.len() > most;
    outside.truncate(most);
    Ok(v1::DetectAnomaliesResponse {
        anomalies: outside
            .into_iter()
            .filter_map(|point| messages::anomaly(judges.of(point.timestamp)?, point))
            .collect(),
        anomalies_truncated,
        method: query.method as i32,
        baseline: Some(baseline),
        tested_count,
        start: Some(time::to_timestamp(query.window.0)),
        end: Some(time::to_timestamp(query.window.1)),
        not_judged_count,
    })
}

//! Reads the baseline of the robust rule.

use super::rules::RobustStats;
use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::store;

/// The maximum number of points in a baseline of the robust rule, which needs every value in
/// memory: 8 bytes each.
const MAX_ROBUST_POINTS: usize = 1_000_000;

/// Returns the baseline of the robust rule for a series in an interval [start, end).
pub(super) async fn robust_stats(
    pool: &ReadPool,
    series_id: i32,
    interval: (i64, i64),
) -> Result<RobustStats, QueryError> {
    let limit = i64::try_from(MAX_ROBUST_POINTS + 1).unwrap_or(i64::MAX);
    let values = store::baseline_values(pool, series_id, interval, limit).await?;
    if values.len() > MAX_ROBUST_POINTS {
        let description =
            format!("has more than {MAX_ROBUST_POINTS} points, the limit of ROBUST: shorten it");
        return Err(QueryError::invalid("baseline", description));
    }
    Ok(RobustStats::of(values))
}

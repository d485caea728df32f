//! The handler of `QueryRange`.

use std::time::Instant;

use shared::proto::v1;

use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::plan;
use crate::read_pool::ReadPool;
use crate::row_stream::{self, PointStream, ResponseStream};
use crate::series::SeriesFinder;
use crate::validate::RangeQuery;

/// The maximum number of points of a downsampled answer, over all series.
const MAX_TOTAL_POINTS: usize = 10_000_000;

pub(super) async fn handle(
    pool: ReadPool,
    finder: SeriesFinder,
    deadline: Deadline,
    request: v1::QueryRangeRequest,
) -> Result<ResponseStream<v1::QueryRangeResponse>, QueryError> {
    let began = Instant::now();
    let query = RangeQuery::check(request)?;
    let series = finder.find(&query.selectors).await?;
    let plan = plan::points(query.start, query.end);
    check_total(query.max_points, series.len())?;
    let max_points = query.max_points;
    Ok(row_stream::spawn(deadline, |frames| {
        PointStream { pool, plan, series, max_points, began }.run(frames)
    })
    .await)
}

fn check_total(max_points: Option<usize>, series: usize) -> Result<(), QueryError> {
    let Some(max_points) = max_points.filter(|most| most.saturating_mul(series) > MAX_TOTAL_POINTS)
    else {
        return Ok(());
    };
    let description = format!(
        "is {max_points} for each of {series} series; the limit for all of them together is \
         {MAX_TOTAL_POINTS}: use fewer points or fewer series"
    );
    Err(QueryError::invalid("max_points", description))
}

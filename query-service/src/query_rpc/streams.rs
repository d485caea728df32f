//! `QueryRange` and `QueryAggregated`.

use std::time::Instant;

use shared::granularity::Granularity;
use shared::proto::v1;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::row_stream::{self, BucketStream, PointStream};
use crate::validate::{AggregatedQuery, RangeQuery};
use crate::{plan, series, store};

pub(super) async fn range(
    pool: ReadPool,
    deadline: Deadline,
    request: v1::QueryRangeRequest,
) -> Result<ReceiverStream<Result<v1::QueryRangeResponse, Status>>, QueryError> {
    let began = Instant::now();
    let query = RangeQuery::check(request)?;
    let series = series::find(&pool, &query.selectors).await?;
    let plan = plan::at(Granularity::Raw, query.start, query.end);
    Ok(row_stream::spawn(deadline, |frames| PointStream { pool, plan, series, began }.run(frames)))
}

pub(super) async fn aggregated(
    pool: ReadPool,
    deadline: Deadline,
    request: v1::QueryAggregatedRequest,
) -> Result<ReceiverStream<Result<v1::QueryAggregatedResponse, Status>>, QueryError> {
    let began = Instant::now();
    let query = AggregatedQuery::check(request)?;
    let series = series::find(&pool, &query.selectors).await?;
    let plan = plan::at(query.granularity, query.start, query.end);
    let watermark = store::watermark(&pool, plan.granularity).await?;
    let statistics = query.statistics;
    Ok(row_stream::spawn(deadline, |frames| {
        BucketStream { pool, plan, series, statistics, watermark, began }.run(frames)
    }))
}

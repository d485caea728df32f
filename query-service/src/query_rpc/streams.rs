//! `QueryAggregated`.

use std::time::Instant;

use shared::proto::v1;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::row_stream::{self, BucketStream};
use crate::validate::AggregatedQuery;
use crate::{plan, series, store};

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

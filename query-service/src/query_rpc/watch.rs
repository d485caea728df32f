//! `WatchAnomalies`.

use shared::proto::v1;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::row_stream;
use crate::validate::WatchQuery;
use crate::watch::{Subscription, Watchers};

pub(super) async fn watch(
    pool: ReadPool,
    watchers: Watchers,
    deadline: Deadline,
    request: v1::WatchAnomaliesRequest,
) -> Result<ReceiverStream<Result<v1::WatchAnomaliesResponse, Status>>, QueryError> {
    let query = WatchQuery::check(request)?;
    let subscription = Subscription::new(pool, watchers, query).await?;
    Ok(row_stream::spawn(deadline, |frames| subscription.run(frames)))
}

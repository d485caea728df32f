//! The handler of `WatchAnomalies`.

use shared::proto::v1;

use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::relations::Relations;
use crate::row_stream::{self, ResponseStream};
use crate::series::SeriesFinder;
use crate::validate::WatchQuery;
use crate::watch::{Subscription, Watchers};

pub(super) async fn handle(
    pool: ReadPool,
    relations: Relations,
    finder: SeriesFinder,
    watchers: Watchers,
    deadline: Deadline,
    request: v1::WatchAnomaliesRequest,
) -> Result<ResponseStream<v1::WatchAnomaliesResponse>, QueryError> {
    let query = WatchQuery::check(request)?;
    let subscription = Subscription::new(pool, relations, finder, watchers, query).await?;
    Ok(row_stream::spawn(deadline, |frames| subscription.run(frames)).await)
}

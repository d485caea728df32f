//! The gRPC service: thin handlers that validate, plan, query and answer. The rules are in the
//! modules that they call.

mod detect_anomalies;
mod get_latest;
mod get_storage_stats;
mod list_devices;
mod list_metrics;
mod page;
mod query_aggregated;
mod query_range;
mod watch_anomalies;

use std::time::Duration;

use shared::proto::v1;
use shared::proto::v1::query_service_server::QueryService;
use shared::{auth, time};
use tonic::{Request, Response, Status};

use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::relations::Relations;
use crate::row_stream::ResponseStream;
use crate::series::SeriesFinder;
use crate::watch::Watchers;

/// The implementation of `QueryService`.
pub(crate) struct QueryServer {
    pub(crate) pool: ReadPool,
    pub(crate) relations: Relations,
    pub(crate) finder: SeriesFinder,
    /// See [`Deadline`].
    pub(crate) query_timeout: Duration,
    pub(crate) watchers: Watchers,
}

impl QueryServer {
    fn deadline<T>(&self, request: &Request<T>) -> Deadline {
        Deadline::of(request, self.query_timeout)
    }
}

/// Runs `work` until the deadline. If the client disconnects, this future is dropped, which cancels
/// the running statement.
async fn answer<T>(
    deadline: Deadline,
    work: impl Future<Output = Result<T, QueryError>>,
) -> Result<Response<T>, Status> {
    Ok(Response::new(deadline.bound(work).await?))
}

#[tonic::async_trait]
impl QueryService for QueryServer {
    type QueryRangeStream = ResponseStream<v1::QueryRangeResponse>;
    type QueryAggregatedStream = ResponseStream<v1::QueryAggregatedResponse>;
    type WatchAnomaliesStream = ResponseStream<v1::WatchAnomaliesResponse>;

    async fn query_range(
        &self,
        request: Request<v1::QueryRangeRequest>,
    ) -> Result<Response<Self::QueryRangeStream>, Status> {
        let deadline = self.deadline(&request);
        let pool = self.pool.clone();
        let finder = self.finder.clone();
        answer(deadline, query_range::handle(pool, finder, deadline, request.into_inner())).await
    }

    async fn query_aggregated(
        &self,
        request: Request<v1::QueryAggregatedRequest>,
    ) -> Result<Response<Self::QueryAggregatedStream>, Status> {
        let deadline = self.deadline(&request);
        let pool = self.pool.clone();
        let relations = self.relations.clone();
        let finder = self.finder.clone();
        let work =
            query_aggregated::handle(pool, relations, finder, deadline, request.into_inner());
        answer(deadline, work).await
    }

    async fn detect_anomalies(
        &self,
        request: Request<v1::DetectAnomaliesRequest>,
    ) -> Result<Response<v1::DetectAnomaliesResponse>, Status> {
        answer(
            self.deadline(&request),
            detect_anomalies::handle(
                self.pool.clone(),
                self.relations.clone(),
                self.finder.clone(),
                request.into_inner(),
                time::now_micros(),
            ),
        )
        .await
    }

    async fn watch_anomalies(
        &self,
        request: Request<v1::WatchAnomaliesRequest>,
    ) -> Result<Response<Self::WatchAnomaliesStream>, Status> {
        let deadline = self.deadline(&request);
        let pool = self.pool.clone();
        let relations = self.relations.clone();
        let finder = self.finder.clone();
        let watchers = self.watchers.clone();
        let request = request.into_inner();
        let work = watch_anomalies::handle(pool, relations, finder, watchers, deadline, request);
        answer(deadline, work).await
    }

    async fn get_latest(
        &self,
        request: Request<v1::GetLatestRequest>,
    ) -> Result<Response<v1::GetLatestResponse>, Status> {
        let deadline = self.deadline(&request);
        let pool = self.pool.clone();
        let finder = self.finder.clone();
        let now = time::now_micros();
        answer(deadline, get_latest::handle(pool, finder, request.into_inner(), now)).await
    }

    async fn list_devices(
        &self,
        request: Request<v1::ListDevicesRequest>,
    ) -> Result<Response<v1::ListDevicesResponse>, Status> {
        let deadline = self.deadline(&request);
        let identity = auth::identity(request.extensions())?;
        answer(
            deadline,
            list_devices::handle(self.pool.clone(), request.into_inner(), &identity.devices),
        )
        .await
    }

    async fn list_metrics(
        &self,
        request: Request<v1::ListMetricsRequest>,
    ) -> Result<Response<v1::ListMetricsResponse>, Status> {
        let deadline = self.deadline(&request);
        let identity = auth::identity(request.extensions())?;
        let pool = self.pool.clone();
        let finder = self.finder.clone();
        let request = request.into_inner();
        answer(deadline, list_metrics::handle(pool, finder, request, &identity.devices)).await
    }

    async fn get_storage_stats(
        &self,
        request: Request<v1::GetStorageStatsRequest>,
    ) -> Result<Response<v1::GetStorageStatsResponse>, Status> {
        answer(
            self.deadline(&request),
            get_storage_stats::handle(self.pool.clone(), request.into_inner()),
        )
        .await
    }
}

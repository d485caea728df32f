//! Both services in the test process, on free ports.

use ingest_service::config::IngestConfig;
use query_service::config::QueryConfig;
use shared::config::defaults;
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use shared::proto::v1::query_service_client::QueryServiceClient;
use shared::proto::v1::{
    Batch, BatchResult, BucketsFrame, Granularity, IngestBatchRequest, IngestRequest,
    IngestResponse, PointsFrame, QueryAggregatedRequest, QueryHeader, QueryRangeRequest,
    query_aggregated_response, query_range_response,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::database::database_url;
use crate::health::wait_until_serving;
use crate::{at, selector};

/// Both running services.
pub struct Services {
    /// Client of ingest-service.
    pub ingest: IngestServiceClient<Channel>,
    /// Client of query-service.
    pub query: QueryServiceClient<Channel>,
    /// Address of ingest-service, as an `http://` URL.
    pub ingest_url: String,
    /// Address of query-service, as an `http://` URL.
    pub query_url: String,
    /// Probes and metrics of ingest-service, as an `http://` URL.
    pub ingest_http: String,
    /// Probes and metrics of query-service, as an `http://` URL.
    pub query_http: String,
    /// Channel for health checks of ingest-service.
    pub ingest_channel: Channel,
    /// Channel for health checks of query-service.
    pub query_channel: Channel,
    shutdown: CancellationToken,
    ingest_task: JoinHandle<()>,
    query_task: JoinHandle<()>,
}

/// Returns the configuration that the binary has if no variable is set.
fn ingest_config(url: &str) -> IngestConfig {
    defaults(&["--database-url", url]).expect("the defaults")
}

impl Services {
    /// Starts both on the database under test and waits until they serve.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// Does the same as `start`, with a changed configuration of ingest-service.
    pub async fn start_with(change: impl FnOnce(&mut IngestConfig)) -> Self {
        Self::start_with_both(change, |_| {}).await
    }

    /// Does the same as `start`, with changed configurations of both services.
    pub async fn start_with_both(
        change_ingest: impl FnOnce(&mut IngestConfig),
        change_query: impl FnOnce(&mut QueryConfig),
    ) -> Self {
        let mut config = ingest_config(&database_url());
        change_ingest(&mut config);
        let services = Self::start_configured(config, change_query).await;
        wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
        wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
        services
    }

    /// Starts both on a database address, which need not be reachable. Does not wait until they
    /// serve.
    pub async fn start_on(url: &str) -> Self {
        Self::start_query_with(url, |_| {}).await
    }

    /// Does the same as `start_on`, with a changed configuration of ingest-service.
    pub async fn start_ingest_with(url: &str, change: impl FnOnce(&mut IngestConfig)) -> Self {
        let mut config = ingest_config(url);
        change(&mut config);
        Self::start_configured(config, |_| {}).await
    }

    /// Does the same as `start_on`, with a changed configuration of query-service.
    pub async fn start_query_with(url: &str, change: impl FnOnce(&mut QueryConfig)) -> Self {
        Self::start_configured(ingest_config(url), change).await
    }

    async fn start_configured(
        ingest_config: IngestConfig,
        change: impl FnOnce(&mut QueryConfig),
    ) -> Self {
        let shutdown = CancellationToken::new();
        let database = ingest_config.database.clone();
        let (listener, ingest_url) = listen().await;
        let (http, ingest_http) = listen().await;
        let run = ingest_service::run(listener, http, ingest_config, shutdown.clone());
        let ingest_task = tokio::spawn(async move { run.await.expect("ingest-service") });
        let (listener, query_url) = listen().await;
        let mut config = QueryConfig { database, ..defaults(&[]).expect("the defaults") };
        change(&mut config);
        let (http, query_http) = listen().await;
        let run = query_service::run(listener, http, config, shutdown.clone());
        let query_task = tokio::spawn(async move { run.await.expect("query-service") });
        let ingest_channel =
            Endpoint::from_shared(ingest_url.clone()).unwrap().connect().await.unwrap();
        let query_channel =
            Endpoint::from_shared(query_url.clone()).unwrap().connect().await.unwrap();
        Self {
            ingest: IngestServiceClient::new(ingest_channel.clone()),
            query: QueryServiceClient::new(query_channel.clone())
                .max_decoding_message_size(64 * 1024 * 1024),
            ingest_url,
            query_url,
            ingest_http,
            query_http,
            ingest_channel,
            query_channel,
            shutdown,
            ingest_task,
            query_task,
        }
    }

    /// Asks both services to shut down, without waiting.
    pub fn begin_shutdown(&self) {
        self.shutdown.cancel();
    }

    /// Waits until both services have ended.
    pub async fn ended(self) {
        self.ingest_task.await.unwrap();
        self.query_task.await.unwrap();
    }

    /// Calls `IngestBatch`.
    pub async fn send(&self, batch: Batch) -> Result<BatchResult, Status> {
        let answer =
            self.ingest.clone().ingest_batch(IngestBatchRequest { batch: Some(batch) }).await?;
        Ok(answer.into_inner().result.expect("a result"))
    }

    /// Calls `Ingest` with all batches available from the start.
    pub async fn stream(&self, batches: Vec<Batch>) -> Result<IngestResponse, Status> {
        let requests = batches.into_iter().map(|batch| IngestRequest { batch: Some(batch) });
        Ok(self
            .ingest
            .clone()
            .ingest(tokio_stream::iter(requests.collect::<Vec<_>>()))
            .await?
            .into_inner())
    }

    /// Returns all temperatures of a device in `[start, end)`, through `QueryRange`.
    pub async fn range(
        &self,
        device_id: &str,
        start: i64,
        end: i64,
    ) -> Result<PointsFrame, Status> {
        let selectors = vec![selector(device_id)];
        let request =
            QueryRangeRequest { selectors, start: at(start), end: at(end), max_points: 0 };
        let mut frames = self.query.clone().query_range(request).await?.into_inner();
        let mut all = PointsFrame::default();
        let mut footer = None;
        while let Some(response) = frames.message().await? {
            match response.frame.unwrap() {
                query_range_response::Frame::Header(_) => {}
                query_range_response::Frame::Points(points) => {
                    all.timestamps_us.extend(points.timestamps_us);
                    all.values.extend(points.values);
                }
                query_range_response::Frame::Footer(frame) => footer = Some(frame),
            }
        }
        assert_eq!(footer.expect("a footer").row_count, all.values.len() as u64);
        Ok(all)
    }

    /// Returns all temperature buckets of a device that overlap `[start, end)`, through
    /// `QueryAggregated`.
    pub async fn aggregated(
        &self,
        device_id: &str,
        granularity: Granularity,
        (start, end): (i64, i64),
    ) -> Result<(QueryHeader, BucketsFrame), Status> {
        let request = QueryAggregatedRequest {
            selectors: vec![selector(device_id)],
            start: at(start),
            end: at(end),
            granularity: granularity as i32,
            ..Default::default()
        };
        let mut frames = self.query.clone().query_aggregated(request).await?.into_inner();
        let mut header = None;
        let mut all = BucketsFrame::default();
        let mut footer = None;
        while let Some(response) = frames.message().await? {
            match response.frame.unwrap() {
                query_aggregated_response::Frame::Header(frame) => header = Some(frame),
                query_aggregated_response::Frame::Buckets(buckets) => extend(&mut all, buckets),
                query_aggregated_response::Frame::Footer(frame) => footer = Some(frame),
            }
        }
        assert_eq!(footer.expect("a footer").row_count, all.bucket_starts_us.len() as u64);
        Ok((header.expect("a header"), all))
    }
}

fn extend(all: &mut BucketsFrame, buckets: BucketsFrame) {
    all.bucket_starts_us.extend(buckets.bucket_starts_us);
    all.avg.extend(buckets.avg);
    all.max.extend(buckets.max);
    all.min.extend(buckets.min);
    all.sum.extend(buckets.sum);
    all.count.extend(buckets.count);
    all.first.extend(buckets.first);
    all.last.extend(buckets.last);
    all.stddev.extend(buckets.stddev);
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

//! The two services, side by side.

use shared::proto::v1::ingest_service_client::IngestServiceClient;
use shared::proto::v1::query_service_client::QueryServiceClient;
use tonic::transport::Channel;

use crate::release::Kind;
use crate::service::Service;

/// Both services, running.
pub(super) struct Services {
    pub(super) ingest: Channel,
    pub(super) query: Channel,
    ingest_service: Service,
    query_service: Service,
}

impl Services {
    /// Starts both and waits until they can do their work.
    pub(super) async fn start(database_url: &str) -> anyhow::Result<Self> {
        let ingest_service = Service::start(Kind::Ingest, database_url).await?;
        let query_service = Service::start(Kind::Query, database_url).await?;
        let (ingest, query) = (ingest_service.connect().await?, query_service.connect().await?);
        Ok(Self { ingest, query, ingest_service, query_service })
    }

    /// HOST:PORT of ingest-service and of query-service.
    pub(super) fn addresses(&self) -> (&str, &str) {
        (self.ingest_service.address(), self.query_service.address())
    }

    /// Ends both; the ingest-service writes what it has taken in.
    pub(super) async fn stop(self) {
        self.ingest_service.stop().await;
        self.query_service.stop().await;
    }
}

/// A client for sending.
pub(super) fn ingest_client(channel: &Channel) -> IngestServiceClient<Channel> {
    IngestServiceClient::new(channel.clone())
}

/// A client for asking.
pub(super) fn query_client(channel: &Channel) -> QueryServiceClient<Channel> {
    QueryServiceClient::new(channel.clone())
}

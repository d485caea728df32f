//! Runs the two services for the demo.

use std::time::Duration;

use anyhow::Context as _;
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use shared::proto::v1::query_service_client::QueryServiceClient;
use tonic::transport::Channel;

use crate::database::Database;
use crate::release::Kind;
use crate::service::Service;

/// How long both services together may take to become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
/// Log levels of the services on the database that `--database-url` names.
const LOG: &str = "warn";
/// Log levels of the services on the embedded database. It has a single backend, which a refresh of
/// the rollups occupies for seconds. Slow statements and failed probes are expected then.
const EMBEDDED_LOG: &str = "warn,sqlx=error,shared::readiness=error";

/// Both services, running.
pub(super) struct Services {
    pub(super) ingest: Channel,
    pub(super) query: Channel,
    ingest_service: Service,
    query_service: Service,
}

impl Services {
    /// Starts both services and waits until they are ready.
    pub(super) async fn start(database: &Database) -> anyhow::Result<Self> {
        let started = tokio::time::timeout(READY_TIMEOUT, Self::start_both(database)).await;
        started.with_context(|| format!("the services were not ready within {READY_TIMEOUT:?}"))?
    }

    async fn start_both(database: &Database) -> anyhow::Result<Self> {
        let log = if database.is_embedded() { EMBEDDED_LOG } else { LOG };
        let ingest_service = Service::start_with_log(Kind::Ingest, &database.url, log).await?;
        let query_service = Service::start_with_log(Kind::Query, &database.url, log).await?;
        let ingest = ingest_service.connect().await?;
        let query = query_service.connect().await?;
        Ok(Self { ingest, query, ingest_service, query_service })
    }

    /// Returns the addresses of ingest-service and query-service, as `HOST:PORT`.
    pub(super) fn addresses(&self) -> (&str, &str) {
        (self.ingest_service.address(), self.query_service.address())
    }

    /// Stops both services. ingest-service first writes the points that it has accepted.
    pub(super) async fn stop(self) {
        self.ingest_service.stop().await;
        self.query_service.stop().await;
    }
}

/// Returns a client of ingest-service on this connection.
pub(super) fn ingest_client(channel: &Channel) -> IngestServiceClient<Channel> {
    IngestServiceClient::new(channel.clone())
}

/// Returns a client of query-service on this connection.
pub(super) fn query_client(channel: &Channel) -> QueryServiceClient<Channel> {
    QueryServiceClient::new(channel.clone())
}

//! The two services as separate processes on free ports.

use std::path::PathBuf;

use anyhow::Context as _;
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use shared::proto::v1::query_service_client::QueryServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::programs::{self, Server, command};

/// Both services, running.
pub(super) struct Services {
    pub(super) ingest: Channel,
    pub(super) query: Channel,
    pub(super) ingest_address: String,
    pub(super) query_address: String,
    servers: [Server; 2],
}

/// Builds both in release, and says where they are.
pub(super) async fn build() -> anyhow::Result<PathBuf> {
    let mut cargo = command("cargo");
    cargo.args(["build", "--quiet", "--release", "--locked", "--bin", "ingest-service", "--bin", "query-service"]);
    programs::run(&mut cargo).await?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| programs::root().join("target"), PathBuf::from);
    Ok(target.join("release"))
}

impl Services {
    /// Starts both and waits until they can do their work.
    pub(super) async fn start(binaries: &std::path::Path, database_url: &str) -> anyhow::Result<Self> {
        let service = |name: &'static str| async move {
            let mut command = command(&binaries.join(name).to_string_lossy());
            let common = [("DATABASE_URL", database_url), ("TIDEGAUGE_LOG", "warn")];
            command.args(["--listen", "127.0.0.1:0"]).envs(common);
            Server::start(name, &mut command).await
        };
        let ingest_server = service("ingest-service").await?;
        let query_server = service("query-service").await?;
        let (ingest_address, query_address) = (ingest_server.address.clone(), query_server.address.clone());
        let ingest = connect(&ingest_address).await?;
        let query = connect(&query_address).await?;
        wait_until_ready(&ingest, "tidegauge.v1.IngestService").await?;
        wait_until_ready(&query, "tidegauge.v1.QueryService").await?;
        Ok(Self { ingest, query, ingest_address, query_address, servers: [ingest_server, query_server] })
    }

    /// Ends both; the ingest-service writes what it has taken in.
    pub(super) async fn stop(self) {
        for server in self.servers {
            server.stop().await;
        }
    }
}

async fn connect(address: &str) -> anyhow::Result<Channel> {
    Endpoint::from_shared(format!("http://{address}"))?
        .connect()
        .await
        .with_context(|| format!("cannot reach {address}"))
}

/// Through the standard health service, as Kubernetes does it.
async fn wait_until_ready(channel: &Channel, service: &str) -> anyhow::Result<()> {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;

    let request = HealthCheckRequest { service: service.to_owned() };
    let mut states = HealthClient::new(channel.clone()).watch(request).await?.into_inner();
    while let Some(state) = states.message().await? {
        if state.status() == ServingStatus::Serving {
            return Ok(());
        }
    }
    anyhow::bail!("{service} ended before it was ready")
}

/// A client for sending.
pub(super) fn ingest_client(channel: &Channel) -> IngestServiceClient<Channel> {
    IngestServiceClient::new(channel.clone())
}

/// A client for asking.
pub(super) fn query_client(channel: &Channel) -> QueryServiceClient<Channel> {
    QueryServiceClient::new(channel.clone())
}

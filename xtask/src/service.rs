//! ingest-service and query-service as processes of their own, in release and configured as they are by default, but for the
//! number of series that one client creates in a minute: here one client plays a fleet.

use anyhow::{Context as _, bail};
use e2e::Memory;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::programs::{Server, command};
use crate::release::{self, Kind};

/// A running service.
pub(crate) struct Service(Server);

impl Service {
    /// Starts it on a free port and waits until it can do its work.
    pub(crate) async fn start(kind: Kind, database_url: &str) -> anyhow::Result<Self> {
        let mut program = command(&release::folder().join(kind.program()).to_string_lossy());
        program.args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
        program.env("DATABASE_URL", database_url).env("TIDEGAUGE_LOG", "warn");
        program.env("TIDEGAUGE_NEW_SERIES_PER_MINUTE", "100000000");
        let service = Self(Server::start(kind.program(), &mut program).await?);
        wait_until_ready(service.connect().await?, kind).await?;
        Ok(service)
    }

    /// HOST:PORT.
    pub(crate) fn address(&self) -> &str {
        &self.0.address
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> anyhow::Result<Channel> {
        let address = self.address();
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        endpoint.connect().await.with_context(|| format!("cannot reach {address}"))
    }

    pub(crate) async fn connect_many(&self, count: usize) -> anyhow::Result<Vec<Channel>> {
        let mut channels = Vec::with_capacity(count);
        for _ in 0..count {
            channels.push(self.connect().await?);
        }
        Ok(channels)
    }

    /// What it takes of memory; `None` once it has ended.
    pub(crate) fn memory(&self) -> Option<Memory> {
        self.0.process_id().map(Memory::of)
    }

    pub(crate) async fn stop(self) {
        self.0.stop().await;
    }
}

/// Returns the name under which the service reports its health.
fn health_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Ingest => "tidegauge.v1.IngestService",
        Kind::Query => "tidegauge.v1.QueryService",
    }
}

/// Through the standard health service, as Kubernetes does it.
async fn wait_until_ready(channel: Channel, kind: Kind) -> anyhow::Result<()> {
    let request = HealthCheckRequest { service: health_name(kind).to_owned() };
    let mut states = HealthClient::new(channel).watch(request).await?.into_inner();
    while let Some(state) = states.message().await? {
        if state.status() == ServingStatus::Serving {
            return Ok(());
        }
    }
    bail!("{} ended before it was ready", kind.program())
}

//! Runs ingest-service and query-service as processes: release builds with the default settings.
//! Two settings differ. The limit on new series per client and minute is raised, because here one
//! client plays a whole fleet. The log level is `warn` unless the caller chooses another.

use anyhow::{Context as _, bail};
use e2e::Memory;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::programs::{ServerProcess, command};
use crate::release::{self, Kind};

/// A running service.
pub(crate) struct Service(ServerProcess);

impl Service {
    /// Starts the service on a free port and waits until it reports that it is ready.
    pub(crate) async fn start(kind: Kind, database_url: &str) -> anyhow::Result<Self> {
        Self::start_with_log(kind, database_url, "warn").await
    }

    /// Does the same as [`Self::start`]. `log_levels` becomes `TIDEGAUGE_LOG`.
    pub(crate) async fn start_with_log(
        kind: Kind,
        database_url: &str,
        log_levels: &str,
    ) -> anyhow::Result<Self> {
        let mut program = command(&release::folder().join(kind.program()).to_string_lossy());
        program.args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
        program.env("DATABASE_URL", database_url).env("TIDEGAUGE_LOG", log_levels);
        program.env("TIDEGAUGE_NEW_SERIES_PER_MINUTE", "100000000");
        let service = Self(ServerProcess::start(kind.program(), &mut program).await?);
        wait_until_ready(service.connect().await?, kind).await?;
        Ok(service)
    }

    /// Returns the address of the gRPC server, as `HOST:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.0.address
    }

    /// Opens a new connection.
    pub(crate) async fn connect(&self) -> anyhow::Result<Channel> {
        let address = self.address();
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        endpoint.connect().await.with_context(|| format!("cannot connect to {address}"))
    }

    pub(crate) async fn connect_many(&self, count: usize) -> anyhow::Result<Vec<Channel>> {
        let mut channels = Vec::with_capacity(count);
        for _ in 0..count {
            channels.push(self.connect().await?);
        }
        Ok(channels)
    }

    /// Returns a reader of the process's memory usage, or `None` if the service has exited.
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

/// Waits until the standard gRPC health service reports SERVING. Kubernetes checks the same.
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

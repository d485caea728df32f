//! ingest-service as a process of its own, configured as it is by default.

use std::path::Path;

use anyhow::{Context as _, bail};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::process::{self, Process};
use super::release;
use crate::programs::command;

const SERVICE: &str = "tidegauge.v1.IngestService";

pub(super) struct Service(Process);

impl Service {
    /// Starts it and waits until it can write.
    pub(super) async fn start(database_url: &str, scratch: &Path) -> anyhow::Result<Self> {
        let address = process::free_address()?;
        let mut program = command(&release::folder().join("ingest-service").to_string_lossy());
        program.args(["--listen", &address]).env("DATABASE_URL", database_url).env("TIDEGAUGE_LOG", "warn");
        let log = scratch.join("ingest-service.log");
        let service = Self(Process::start("ingest-service", &mut program, address, &log).await?);
        wait_until_ready(service.connect().await?).await?;
        Ok(service)
    }

    /// A connection of its own.
    pub(super) async fn connect(&self) -> anyhow::Result<Channel> {
        let address = &self.0.address;
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        endpoint.connect().await.with_context(|| format!("cannot reach {address}"))
    }

    pub(super) async fn connect_many(&self, count: usize) -> anyhow::Result<Vec<Channel>> {
        let mut channels = Vec::with_capacity(count);
        for _ in 0..count {
            channels.push(self.connect().await?);
        }
        Ok(channels)
    }

    /// Most memory so far, in MiB; `None` where the system does not say.
    pub(super) fn peak_mib(&self) -> Option<f64> {
        self.0.peak_memory().map(|bytes| bytes as f64 / (1024.0 * 1024.0))
    }

    pub(super) async fn stop(self) {
        self.0.stop().await;
    }
}

async fn wait_until_ready(channel: Channel) -> anyhow::Result<()> {
    let request = HealthCheckRequest { service: SERVICE.to_owned() };
    let mut states = HealthClient::new(channel).watch(request).await?.into_inner();
    while let Some(state) = states.message().await? {
        if state.status() == ServingStatus::Serving {
            return Ok(());
        }
    }
    bail!("ingest-service ended before it was ready")
}

//! The service under abuse: its process, log and memory.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use shared::proto::v1::IngestBatchRequest;
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use tonic::transport::{Channel, Endpoint};

use super::Setting;
use crate::{IngestProcess, MEMORY_BOUND, batch, now, point, unique};

/// Time limit for a healthy service to answer a new client.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running service.
pub(super) struct Target {
    pub(super) process: IngestProcess,
    pub(super) url: String,
    pub(super) address: SocketAddr,
}

impl Target {
    /// Starts a service and waits until it stores points.
    pub(super) async fn start(setting: &Setting) -> anyhow::Result<Self> {
        let process =
            IngestProcess::start_logging(&setting.ingest_service, &setting.database_url).await?;
        let url = process.url().to_owned();
        let address = url
            .trim_start_matches("http://")
            .parse()
            .context("cannot parse the address of the service")?;
        let target = Self { process, url, address };
        target.answers_anew().await?;
        Ok(target)
    }

    /// Returns a report of the service after the abuse, and whether memory and panics are within
    /// bounds.
    pub(super) async fn state(&self) -> anyhow::Result<(String, bool)> {
        self.answers_anew().await?;
        let panics = self.process.log().matches("panicked at").count();
        let peak = self.process.peak_mib();
        let told =
            peak.map_or_else(|| "memory unknown".to_owned(), |peak| format!("peak {peak:.0} MiB"));
        Ok((
            format!("{told}, {panics} panics"),
            panics == 0 && peak.is_none_or(|peak| peak < MEMORY_BOUND),
        ))
    }

    async fn answers_anew(&self) -> anyhow::Result<()> {
        let answered = async {
            loop {
                match store_one(&self.url, "127.0.0.1").await {
                    Ok(()) => return,
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        if tokio::time::timeout(PATIENCE, answered).await.is_err() {
            let error = store_one(&self.url, "127.0.0.1").await.err();
            bail!("no point of a new client was stored within {PATIENCE:?}: {error:?}");
        }
        Ok(())
    }
}

/// Stores a point as a new client with a given local address.
pub(super) async fn store_one(url: &str, from: &str) -> anyhow::Result<()> {
    let mut client = IngestServiceClient::new(connect(url, from).await?);
    let batch = Some(batch(vec![point(&unique("abuse-after"), now(), 1.0)]));
    client.ingest_batch(IngestBatchRequest { batch }).await?;
    Ok(())
}

/// Connects from a given local address. The service tells clients apart by address.
pub(super) async fn connect(url: &str, from: &str) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(url.to_owned())?.connect_timeout(Duration::from_secs(5));
    Ok(endpoint.local_address(Some(from.parse()?)).timeout(PATIENCE).connect().await?)
}

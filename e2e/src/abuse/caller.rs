//! A client with or without a key or certificate, and the answers to its calls.

use anyhow::Context as _;
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use shared::proto::v1::query_service_client::QueryServiceClient;
use shared::proto::v1::{Batch, BatchResult, IngestBatchRequest};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::PATIENCE;
use super::authority::Pair;
use crate::keyed_identity::bearer;

/// A client of one service.
#[derive(Clone)]
pub(super) struct Caller {
    channel: Channel,
    key: Option<String>,
}

impl Caller {
    /// Connects over TLS and checks the service's certificate against an authority.
    pub(super) async fn connect(
        url: &str,
        authority: &str,
        shown: Option<&Pair>,
    ) -> anyhow::Result<Self> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(authority))
            .domain_name("localhost");
        if let Some(pair) = shown {
            tls = tls.identity(Identity::from_pem(&pair.certificate, &pair.key));
        }
        let endpoint =
            Endpoint::from_shared(url.to_owned())?.tls_config(tls)?.connect_timeout(PATIENCE);
        Ok(Self { channel: endpoint.connect().await?, key: None })
    }

    /// Connects without TLS.
    pub(super) async fn connect_plain(address: &str) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        Ok(Self { channel: endpoint.connect().await?, key: None })
    }

    /// Waits until the service is serving. Health needs no key.
    pub(super) async fn wait_until_ready(&self) -> anyhow::Result<()> {
        let ready = async {
            let mut health = HealthClient::new(self.channel());
            while health.check(HealthCheckRequest::default()).await?.into_inner().status()
                != ServingStatus::Serving
            {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, ready).await.context("the service is not serving in time")?
    }

    /// Returns a client on the same connection with a key.
    pub(super) fn with_key(&self, key: &str) -> Self {
        Self { channel: self.channel.clone(), key: Some(key.to_owned()) }
    }

    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(key) = &self.key {
            request.metadata_mut().insert("authorization", bearer(key));
        }
        request
    }

    /// Calls `IngestBatch`.
    pub(super) async fn send(&self, batch: Batch) -> Result<BatchResult, Status> {
        let request = self.request(IngestBatchRequest { batch: Some(batch) });
        let answer = IngestServiceClient::new(self.channel.clone()).ingest_batch(request).await?;
        Ok(answer.into_inner().result.unwrap_or_default())
    }

    pub(super) fn ingest(&self) -> IngestServiceClient<Channel> {
        IngestServiceClient::new(self.channel.clone())
    }

    pub(super) fn query(&self) -> QueryServiceClient<Channel> {
        QueryServiceClient::new(self.channel.clone())
    }

    pub(super) fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

/// Returns the code of a result by name, such as `Ok` or `PermissionDenied`.
pub(super) fn code<T>(answer: &Result<T, Status>) -> String {
    answer
        .as_ref()
        .map_or_else(|status| format!("{:?}", status.code()), |_| format!("{:?}", Code::Ok))
}

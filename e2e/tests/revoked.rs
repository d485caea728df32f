//! Running calls whose key is removed from the identities file.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::path::Path;
use std::time::Duration;

use e2e::watch::watch_prefix;
use e2e::{KeyedIdentity, Services, batch, built_ingest_service, now, point, unique};
use shared::config::AccessConfig;
use shared::proto::v1::{IngestRequest, IngestWithAcksRequest, IngestWithAcksResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

const PATIENCE: Duration = Duration::from_secs(60);

async fn identity(name: &str, device_prefix: &str) -> KeyedIdentity {
    let arguments = ["--device-prefix", device_prefix, "--scope", "ingest", "--scope", "query"];
    KeyedIdentity::make(&built_ingest_service(), name, &arguments).await.unwrap()
}

/// A running `IngestWithAcks` call.
struct Stream {
    batches: mpsc::Sender<IngestWithAcksRequest>,
    acks: Streaming<IngestWithAcksResponse>,
    device: String,
}

impl Stream {
    async fn open(services: &Services, identity: &KeyedIdentity, device: &str) -> Self {
        let (batches, receiver) = mpsc::channel(1);
        let request = identity.request(ReceiverStream::new(receiver));
        let acks = services.ingest.clone().ingest_with_acks(request).await.unwrap().into_inner();
        Self { batches, acks, device: device.to_owned() }
    }

    async fn store(&mut self) {
        let batch = Some(batch(vec![point(&self.device, now(), 1.0)]));
        self.batches.send(IngestWithAcksRequest { batch }).await.unwrap();
        assert_eq!(self.acks.message().await.unwrap().unwrap().result.unwrap().accepted_count, 1);
    }
}

async fn start(identities: &Path) -> Services {
    let access = || AccessConfig {
        identities_file: Some(identities.to_owned()),
        reload_interval: Duration::from_millis(20),
        insecure_listen: false,
    };
    Services::start_with_both(
        |config| config.server.access = access(),
        |config| config.server.access = access(),
    )
    .await
}

async fn ended<T: std::fmt::Debug>(call: impl Future<Output = Result<T, Status>>) -> Status {
    tokio::time::timeout(PATIENCE, call).await.expect("the call does not end in time").unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_their_key_and_those_of_others_go_on() {
    let device = unique("revoked");
    let leaving = identity("leaving", &device).await;
    let staying = identity("staying", &device).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [&*leaving.entry, &staying.entry].concat()).unwrap();
    let services = start(file.path()).await;

    let mut acknowledged = Stream::open(&services, &leaving, &device).await;
    let mut others = Stream::open(&services, &staying, &device).await;
    acknowledged.store().await;
    others.store().await;
    let (uploaded, receiver) = mpsc::channel::<IngestRequest>(1);
    let mut client = services.ingest.clone();
    let request = leaving.request(ReceiverStream::new(receiver));
    let upload = tokio::spawn(async move { client.ingest(request).await });
    uploaded
        .send(IngestRequest { batch: Some(batch(vec![point(&device, now(), 2.0)])) })
        .await
        .unwrap();
    let watched =
        services.query.clone().watch_anomalies(leaving.request(watch_prefix(&device))).await;
    let mut watched = watched.unwrap().into_inner();
    watched.message().await.unwrap().expect("the subscription ended before its first message");

    std::fs::write(file.path(), &staying.entry).unwrap();
    let watched = async {
        loop {
            watched.message().await?; // drain pending messages
        }
    };
    for status in [
        ended(acknowledged.acks.message()).await,
        ended(async { upload.await.unwrap() }).await,
        ended::<()>(watched).await,
    ] {
        assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
        assert!(status.message().contains("contains no valid key"), "{}", status.message());
    }
    others.store().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_where_its_identity_may_do_something_else() {
    let device = unique("narrowed");
    let identity = identity("narrowed", &device).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &identity.entry).unwrap();
    let services = start(file.path()).await;
    let mut stream = Stream::open(&services, &identity, &device).await;
    stream.store().await;
    std::fs::write(file.path(), identity.entry.replace(&device, &format!("{device}/own"))).unwrap();
    let status = ended(stream.acks.message()).await;
    assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
    assert!(status.message().contains("have changed: call again"), "{}", status.message());
}

//! Shutdown of the services: what they wait for, and what they do not wait for.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::time::Duration;

use e2e::{
    IngestProcess, Proxy, Services, Sql, batch, built_ingest_service, database_url, get, now,
    point, unique, until, wait_until_serving,
};
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use shared::proto::v1::{IngestBatchRequest, IngestWithAcksRequest};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

const INGEST: &str = "tidegauge.v1.IngestService";
/// Grace period that exceeds every timeout of a test, so that a test which waits for it fails.
const GRACE: Duration = Duration::from_secs(3_600);
const PATIENCE: Duration = Duration::from_secs(60);
/// The preface of an HTTP/2 client, followed by empty settings.
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test]
async fn clients_that_stay_connected_in_silence_do_not_keep_the_services() {
    let services = Services::start_with_both(
        |ingest| ingest.server.shutdown_grace = GRACE,
        |query| query.server.shutdown_grace = GRACE,
    )
    .await;
    let mut connections = Vec::new();
    for url in [&services.ingest_url, &services.query_url] {
        for words in [&b""[..], &OPENING[..10], OPENING] {
            let mut connection =
                TcpStream::connect(url.trim_start_matches("http://")).await.unwrap();
            connection.write_all(words).await.unwrap();
            connections.push(connection);
        }
    }
    let (_batches, receiver) = mpsc::channel::<IngestWithAcksRequest>(1);
    let mut stream = services
        .ingest
        .clone()
        .ingest_with_acks(ReceiverStream::new(receiver))
        .await
        .unwrap()
        .into_inner();
    services.begin_shutdown();
    assert_eq!(
        stream.message().await.unwrap_err().code(),
        Code::Unavailable,
        "the stream did not end with UNAVAILABLE"
    );
    tokio::time::timeout(PATIENCE, services.ended())
        .await
        .expect("the services wait for silent clients");
}

#[tokio::test]
async fn a_call_under_way_is_waited_for_and_answered() {
    let proxy = Proxy::start(&database_url(), true).await;
    let url = proxy.url(&database_url());
    let services = Services::start_with(|config| {
        config.database.url = url.parse().unwrap();
        config.server.shutdown_grace = GRACE;
    });
    let services = services.await;
    let mut sql = Sql::connect().await;
    let device = unique("under-way");
    services.send(batch(vec![point(&device, now(), 1.0)])).await.unwrap();
    proxy.set_open(false);
    let call = tokio::spawn(send(&services.ingest, &device));
    until_metrics(&services.ingest_http, "tidegauge_queue_points 1\n").await;
    services.begin_shutdown();
    until_metrics(&services.ingest_http, "tidegauge_not_ready{reason=\"shutting_down\"} 1").await;
    assert!(!call.is_finished());
    proxy.set_open(true);
    call.await.unwrap().unwrap();
    tokio::time::timeout(PATIENCE, services.ended())
        .await
        .expect("the services do not end although every call has");
    assert_eq!(sql.count(&device).await, 2);
}

#[tokio::test]
async fn a_second_signal_ends_at_once_whatever_is_under_way() {
    let proxy = Proxy::start(&database_url(), true).await;
    let url = proxy.url(&database_url());
    let mut process = IngestProcess::start(&built_ingest_service(), &url).await.unwrap();
    let channel = Endpoint::from_shared(process.url().to_owned()).unwrap().connect().await.unwrap();
    wait_until_serving(&channel, INGEST).await;
    let client = IngestServiceClient::new(channel);
    let device = unique("second-signal");
    send(&client, &device).await.unwrap();
    proxy.swallow(); // requests reach the database, but its answers are lost
    let held = tokio::spawn(send(&client, &device));
    until_metrics(process.http(), "tidegauge_queue_points 1\n").await;
    process.tell_to_end().await.unwrap();
    until_metrics(process.http(), "tidegauge_not_ready{reason=\"shutting_down\"} 1").await;
    process.tell_to_end().await.unwrap();
    let status = process.ended(PATIENCE).await.unwrap();
    assert_eq!(status.code(), Some(130), "the process was not ended by the second signal");
    held.await.unwrap().unwrap_err();
}

fn send(
    client: &IngestServiceClient<Channel>,
    device: &str,
) -> impl Future<Output = Result<(), Status>> + Send + 'static {
    let mut client = client.clone();
    let batch = Some(batch(vec![point(device, now(), 1.0)]));
    async move { client.ingest_batch(IngestBatchRequest { batch }).await.map(drop) }
}

async fn until_metrics(http: &str, wanted: &str) {
    until(wanted, async || {
        get(http, "/metrics").await.ok().filter(|(_, text)| text.contains(wanted)).map(drop)
    })
    .await;
}

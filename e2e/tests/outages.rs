//! Outages: the database starts late, goes away and comes back, and the service shuts down.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::time::Duration;

use e2e::{
    OwnDatabase, Proxy, Services, Sql, batch, database_url, now, numbered, point, unique, until,
    wait_for, wait_until_serving,
};
use shared::db;
use shared::proto::v1::{IngestBatchRequest, IngestRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_types::StatusExt as _;

const INGEST: &str = "tidegauge.v1.IngestService";
const QUERY: &str = "tidegauge.v1.QueryService";

#[tokio::test]
async fn services_start_before_the_database_and_become_ready_when_it_comes() {
    let proxy = Proxy::start(&database_url(), false).await;
    let services = Services::start_on(&proxy.url(&database_url())).await;
    wait_for(INGEST, ServingStatus::NotServing, &services.ingest_channel).await;
    wait_for(QUERY, ServingStatus::NotServing, &services.query_channel).await;
    let device = unique("early");
    let status = services.send(batch(vec![point(&device, now(), 1.0)])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    let status = services.range(&device, 1, 2).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        !status.message().contains("127.0.0.1"),
        "the message contains text of the database: {}",
        status.message()
    );

    proxy.set_open(true);
    wait_until_serving(&services.ingest_channel, INGEST).await;
    wait_until_serving(&services.query_channel, QUERY).await;
    assert_eq!(
        services.send(batch(vec![point(&device, now(), 1.0)])).await.unwrap().accepted_count,
        1
    );
}

#[tokio::test]
async fn a_stream_survives_an_outage_without_loss_or_doubles() {
    let proxy = Proxy::start(&database_url(), true).await;
    let services = Services::start_on(&proxy.url(&database_url())).await;
    wait_until_serving(&services.ingest_channel, INGEST).await;
    let mut sql = Sql::connect().await;
    let device = unique("outage");
    let (sender, receiver) = mpsc::channel(4);
    let mut client = services.ingest.clone();
    let call = tokio::spawn(async move { client.ingest(ReceiverStream::new(receiver)).await });
    for round in 0..100_u64 {
        // Numbered and unnumbered batches alternate. The service's own retries must not double
        // either kind.
        let points = vec![point(&device, now(), 1.0); 50];
        let batch = if round % 2 == 0 {
            batch(points)
        } else {
            numbered(&device, 1, round.div_ceil(2), points)
        };
        sender.send(IngestRequest { batch: Some(batch) }).await.unwrap();
        if round % 20 == 10 {
            proxy.set_open(false);
            tokio::time::sleep(Duration::from_millis(50)).await;
            proxy.set_open(true);
        }
    }
    drop(sender);
    let summary = call.await.unwrap().unwrap().into_inner();
    assert_eq!(
        (summary.batch_count, summary.accepted_count, summary.duplicate_count),
        (100, 5_000, 0)
    );
    assert_eq!(sql.count(&device).await, 5_000);
}

#[tokio::test]
async fn a_connection_to_the_database_that_falls_silent_is_given_up() {
    let proxy = Proxy::start(&database_url(), true).await;
    let url = proxy.url(&database_url());
    let services = Services::start_with(|config| {
        config.database.url = url.parse().unwrap();
        config.flush.write_timeout = Duration::from_secs(1);
    });
    let services = services.await;
    let mut sql = Sql::connect().await;
    let device = unique("silent");
    // The first batch has a known series, so that the writer loses its answer. The second one
    // creates its series.
    let stored =
        services.send(numbered(&device, 1, 1, vec![point(&device, now(), 1.0)])).await.unwrap();
    assert_eq!(stored.accepted_count, 1);
    for (sequence, other) in [(2, device.clone()), (3, format!("{device}-new"))] {
        proxy.swallow();
        let mut client = services.ingest.clone();
        let batch = Some(numbered(&device, 1, sequence, vec![point(&other, now(), 1.0)]));
        let sending =
            tokio::spawn(async move { client.ingest_batch(IngestBatchRequest { batch }).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(
            !sending.is_finished(),
            "the batch was acknowledged without an answer of the database"
        );
        proxy.swallow_no_more();
        let stored = sending.await.unwrap().unwrap().into_inner().result.unwrap();
        assert_eq!(stored.accepted_count, 1, "a batch that may be committed was written again");
    }
    assert_eq!(sql.count(&device).await, 3);
}

#[tokio::test]
async fn what_was_taken_in_is_stored_before_the_service_ends() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("ending");
    let (sender, receiver) = mpsc::channel(4);
    let mut client = services.ingest.clone();
    let call = tokio::spawn(async move { client.ingest(ReceiverStream::new(receiver)).await });
    sender
        .send(IngestRequest { batch: Some(batch(vec![point(&device, now(), 1.0); 10])) })
        .await
        .unwrap();
    until("the batch is stored", async || (sql.count(&device).await >= 10).then_some(())).await;
    services.begin_shutdown();
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "the stream did not end with UNAVAILABLE");
    assert!(status.message().contains("after 1 batches"), "{}", status.message());
    tokio::time::timeout(Duration::from_secs(30), services.ended())
        .await
        .expect("the services do not end in time");
    assert_eq!(sql.count(&device).await, 10);
}

#[tokio::test]
async fn migrations_are_safe_twice_and_by_two_processes_at_once() {
    let database = OwnDatabase::start_empty().await;
    let config = database.config();
    let (first, second) = tokio::join!(db::migrate(&config), db::migrate(&config));
    let edition = first.unwrap();
    assert_eq!(edition, second.unwrap());
    assert_eq!(db::migrate(&config).await.unwrap(), edition);
    let mut connection = db::connect(&config, "test").await.unwrap();
    assert!(db::check_schema(&mut connection).await.is_ok());
}

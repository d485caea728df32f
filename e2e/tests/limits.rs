//! Limits of one client. A client over a limit is told which one and when to retry, or is held
//! back. Acknowledged points are never lost, and refused batches can be resent.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::num::NonZeroUsize;
use std::time::Duration;

use e2e::{
    Services, Sql, at, batch, database_url, now, numbered, point, selector, unique,
    wait_until_serving,
};
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use shared::proto::v1::{
    Batch, IngestBatchRequest, IngestWithAcksRequest, IngestWithAcksResponse, Point,
    QueryRangeRequest,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

const PATIENCE: Duration = Duration::from_secs(60);
/// A client that cannot send for this long counts as held back.
const HELD_BACK: Duration = Duration::from_secs(3);

fn count(number: usize) -> NonZeroUsize {
    number.try_into().unwrap()
}

fn points(device: &str, number: i64) -> Vec<Point> {
    let began = now() - 1_000_000;
    (0..number).map(|index| point(device, began + index, 1.0)).collect()
}

/// Returns the reason and the retry delay of a refusal. Checks that it names the client.
fn refusal(status: &Status) -> (String, Duration) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let details = status.get_error_details();
    let violation = details.quota_failure().expect("QuotaFailure").violations[0].clone();
    assert_eq!(violation.subject, "clientip:127.0.0.1");
    (violation.description, details.retry_info().expect("RetryInfo").retry_delay.unwrap())
}

async fn open(services: &Services) -> Result<(mpsc::Sender<IngestWithAcksRequest>, Acks), Status> {
    let (batches, receiver) = mpsc::channel(1_000);
    let acks = services.ingest.clone().ingest_with_acks(ReceiverStream::new(receiver)).await?;
    Ok((batches, Acks(acks.into_inner())))
}

async fn send(batches: &mpsc::Sender<IngestWithAcksRequest>, batch: Batch) {
    batches.send(IngestWithAcksRequest { batch: Some(batch) }).await.unwrap();
}

struct Acks(Streaming<IngestWithAcksResponse>);

impl Acks {
    async fn next(&mut self) -> Result<IngestWithAcksResponse, Status> {
        let next =
            tokio::time::timeout(PATIENCE, self.0.message()).await.expect("no answer in time");
        next.map(|ack| ack.expect("the stream ended before an acknowledgement"))
    }
}

#[tokio::test]
async fn a_numbered_producer_that_sends_again_when_it_was_told_to_loses_nothing() {
    let device = unique("limit-points");
    let mut sql = Sql::connect().await;
    let mut refused = 0;
    let services = Services::start_with(|config| {
        config.server.quotas.client_points_per_second = Some(count(100))
    });
    let services = services.await;
    for sequence in 1..=5 {
        let batch = numbered(&device, 1, sequence, points(&device, 80));
        let stored = async {
            while let Err(status) = services.send(batch.clone()).await {
                let (description, retry_after) = refusal(&status);
                assert!(
                    description.contains("limit of 100 points or rows per second reached"),
                    "{description}"
                );
                refused += 1;
                tokio::time::sleep(retry_after).await;
            }
        };
        tokio::time::timeout(PATIENCE, stored).await.expect("the batch is still refused");
    }
    assert!(refused > 0, "no batch was refused");
    assert_eq!(sql.count(&device).await, 400);
}

#[tokio::test]
async fn a_stream_over_its_points_and_messages_is_held_back_and_all_of_it_is_stored() {
    let device = unique("limit-held");
    let mut sql = Sql::connect().await;
    let services = Services::start_with(|config| {
        config.server.quotas.client_points_per_second = Some(count(2_000));
        config.server.quotas.client_messages_per_second = Some(count(20));
        config.server.quotas.client_max_bytes_in_flight = count(2_000);
    });
    let services = services.await;
    let (batches, mut acks) = open(&services).await.unwrap();
    for sequence in 1..=50 {
        send(&batches, numbered(&device, 1, sequence, points(&device, 100))).await;
    }
    for index in 0..50 {
        let ack = acks.next().await.unwrap();
        assert_eq!((ack.batch_index, ack.result.unwrap().accepted_count), (index, 100));
    }
    assert_eq!(sql.count(&device).await, 5_000);
}

#[tokio::test]
async fn a_stream_that_falls_silent_has_what_it_sent_acknowledged_and_is_told_why_it_ends() {
    let device = unique("limit-silent");
    let timeout = Duration::from_millis(500);
    let services =
        Services::start_with(|config| config.server.quotas.message_timeout = timeout).await;
    let (batches, mut acks) = open(&services).await.unwrap();
    send(&batches, numbered(&device, 1, 1, points(&device, 10))).await;
    assert_eq!(acks.next().await.unwrap().batch_index, 0);
    let (description, _) = refusal(&acks.next().await.unwrap_err());
    assert!(description.contains("within 500ms (TIDEGAUGE_MESSAGE_TIMEOUT)"), "{description}");
    let (batches, mut acks) = open(&services).await.unwrap();
    send(&batches, numbered(&device, 1, 2, points(&device, 10))).await;
    assert_eq!(acks.next().await.unwrap().result.unwrap().sequence, 2);
}

#[tokio::test]
async fn one_stream_too_many_is_refused_until_another_has_ended() {
    let device = unique("limit-calls");
    let services =
        Services::start_with(|config| config.server.quotas.client_max_calls = count(2)).await;
    let (batches, mut acks) = open(&services).await.unwrap();
    let kept = open(&services).await.unwrap();
    let (description, _) = refusal(&open(&services).await.err().unwrap());
    assert!(
        description.contains("limit of 2 open calls reached (TIDEGAUGE_CLIENT_MAX_CALLS)"),
        "{description}"
    );
    send(&batches, batch(points(&device, 10))).await;
    acks.next().await.unwrap();
    drop((batches, acks));
    let again = async {
        while let Err(status) = open(&services).await {
            refusal(&status);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again)
        .await
        .expect("no stream can be opened after another has ended");
    drop(kept);
}

#[tokio::test]
async fn a_unary_call_to_a_service_that_is_behind_is_refused_for_now_and_a_stream_waits() {
    let device = unique("limit-behind");
    let mut sql = Sql::connect().await;
    let services = Services::start_with(|config| {
        config.limits.batch_max_points = count(100);
        config.flush.queue_max_points = count(100);
        config.flush.writers = count(1);
    });
    let services = services.await;
    services.send(numbered(&device, 1, 1, points(&device, 10))).await.unwrap();
    let other = unique("limit-behind-unary");
    // Creates the series, so that the calls below do not query the database.
    services.send(batch(points(&other, 1))).await.unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut sql.0).await.unwrap();
    let hold = "SELECT last_sequence FROM producers WHERE producer_id = $1 FOR UPDATE";
    sqlx::query(hold).bind(&device).execute(&mut sql.0).await.unwrap();
    let (batches, mut acks) = open(&services).await.unwrap();
    send(&batches, numbered(&device, 1, 2, points(&device, 60))).await;
    send(&batches, numbered(&device, 1, 3, points(&device, 60))).await;
    let mut calls = JoinSet::new();
    let refused = async {
        loop {
            while calls.len() < 2 {
                let mut client = services.ingest.clone();
                let batch = batch(points(&other, 60));
                calls.spawn(async move {
                    client.ingest_batch(IngestBatchRequest { batch: Some(batch) }).await
                });
            }
            // Until the stream's batch is admitted, there is a permit for one of the calls, but not
            // for both.
            if let Err(status) = calls.join_next().await.unwrap().unwrap() {
                return status;
            }
        }
    };
    let status = tokio::time::timeout(PATIENCE, refused).await.expect("no call is refused");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains("TIDEGAUGE_QUEUE_MAX_POINTS"), "{status}");
    assert!(status.get_error_details().retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
    sqlx::raw_sql("COMMIT").execute(&mut sql.0).await.unwrap();
    for sequence in [2, 3] {
        assert_eq!(acks.next().await.unwrap().result.unwrap().sequence, sequence);
    }
    services.send(batch(points(&other, 60))).await.unwrap();
}

#[tokio::test]
async fn a_client_that_sends_little_does_not_wait_for_the_flush_of_one_that_sends_much() {
    let device = unique("limit-much");
    let mut sql = Sql::connect().await;
    // With one backend, no client could write while a flush waits for a lock.
    let held_up = !sql.has_one_backend().await;
    let services = Services::start_with(|config| config.flush.writers = count(1)).await;
    services.send(numbered(&device, 1, 1, points(&device, 1))).await.unwrap();
    let other = Endpoint::from_shared(services.ingest_url.clone()).unwrap();
    let little = unique("limit-little");
    let channel = other.local_address(Some([127, 0, 0, 2].into())).connect().await.unwrap();
    let mut other = IngestServiceClient::new(channel);
    let mut send_little = async || {
        let batch = Some(batch(points(&little, 10)));
        tokio::time::timeout(PATIENCE, other.ingest_batch(IngestBatchRequest { batch }))
            .await
            .expect("no answer in time")
    };
    send_little().await.unwrap(); // creates the series
    if held_up {
        sqlx::raw_sql("BEGIN").execute(&mut sql.0).await.unwrap();
        let hold = "SELECT last_sequence FROM producers WHERE producer_id = $1 FOR UPDATE";
        sqlx::query(hold).bind(&device).execute(&mut sql.0).await.unwrap();
    }
    let (batches, mut acks) = open(&services).await.unwrap();
    // The flush of this batch waits for the locked row.
    send(&batches, numbered(&device, 1, 2, points(&device, 3_000))).await;
    for _ in 0..10 {
        send_little().await.unwrap();
    }
    if held_up {
        let early = tokio::time::timeout(Duration::ZERO, acks.0.message()).await;
        assert!(early.is_err(), "the large flush should still be waiting: {early:?}");
        sqlx::raw_sql("COMMIT").execute(&mut sql.0).await.unwrap();
    }
    assert_eq!(acks.next().await.unwrap().result.unwrap().sequence, 2);
    assert_eq!((sql.count(&device).await, sql.count(&little).await), (3_001, 110));
}

#[tokio::test]
async fn a_client_that_reads_no_acknowledgement_is_held_back_and_then_gets_every_one() {
    const MANY: u64 = 3_000;
    let device = unique("limit-unread");
    let mut sql = Sql::connect().await;
    let services = Services::start().await;
    let channel =
        Endpoint::from_shared(services.ingest_url.clone()).unwrap().connect().await.unwrap();
    let (batches, receiver) = mpsc::channel(1);
    let acks = IngestServiceClient::new(channel)
        .ingest_with_acks(ReceiverStream::new(receiver))
        .await
        .unwrap();
    let mut taken = 0;
    while taken < MANY {
        let mut points = points(&device, 200);
        // Every rejection is reported, which makes the answer about 10 kB.
        points.iter_mut().step_by(2).for_each(|point| point.metric_name.clear());
        let request =
            IngestWithAcksRequest { batch: Some(numbered(&device, 1, taken + 1, points)) };
        if tokio::time::timeout(HELD_BACK, batches.send(request)).await.is_err() {
            break;
        }
        taken += 1;
    }
    assert!(taken < MANY, "all batches were accepted though no acknowledgement was read");
    services.send(batch(points(&unique("limit-reading"), 10))).await.unwrap();
    drop(batches);
    let mut acks = Acks(acks.into_inner());
    for index in 0..taken {
        let ack = acks.next().await.unwrap();
        let result = ack.result.unwrap();
        assert_eq!(
            (ack.batch_index, result.accepted_count, result.rejected_count),
            (index, 100, 100)
        );
    }
    assert!(acks.0.message().await.unwrap().is_none());
    assert_eq!(sql.count(&device).await, 100 * taken);
}

#[tokio::test]
async fn a_connection_that_does_not_open_http2_is_closed_and_one_that_did_stays() {
    let services = Services::start().await;
    let address = services.ingest_url.trim_start_matches("http://");
    let closed = async |said: &str| {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(said.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, connection.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "the connection stays open after {said:?}");
    };
    tokio::join!(closed(""), closed("PRI * HTTP/2.0\r\n"));
    services.send(batch(points(&unique("limit-opened"), 1))).await.unwrap();
}

#[tokio::test]
async fn whoever_asked_for_more_rows_than_it_may_waits_before_it_asks_again() {
    let device = unique("limit-rows");
    let url = database_url();
    let services = Services::start_query_with(&url, |config| {
        config.server.quotas.client_points_per_second = Some(count(10));
    });
    let services = services.await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
    services.send(batch(points(&device, 1_000))).await.unwrap();
    let question = || QueryRangeRequest {
        selectors: vec![selector(&device)],
        start: at(now() - 60_000_000),
        end: at(now()),
        ..Default::default()
    };
    let mut client = services.query.clone();
    let mut frames = client.query_range(question()).await.unwrap().into_inner();
    while frames.message().await.unwrap().is_some() {}
    let (description, retry_after) = refusal(&client.query_range(question()).await.unwrap_err());
    assert!(description.contains("limit of 10 points or rows per second reached"), "{description}");
    assert!(retry_after > Duration::from_secs(60), "{retry_after:?}");
}

//! `IngestWithAcks`: one acknowledgement per batch, in order. Resending batches without
//! acknowledgement stores them once.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::time::Duration;

use e2e::{Services, Sql, batch, now, numbered, point, unique};
use shared::proto::v1::{Batch, IngestWithAcksRequest, IngestWithAcksResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

struct Stream {
    batches: mpsc::Sender<IngestWithAcksRequest>,
    acks: Streaming<IngestWithAcksResponse>,
}

impl Stream {
    async fn open(services: &Services) -> Self {
        let (batches, receiver) = mpsc::channel(1_000);
        let acks = services
            .ingest
            .clone()
            .ingest_with_acks(ReceiverStream::new(receiver))
            .await
            .unwrap()
            .into_inner();
        Self { batches, acks }
    }

    async fn send(&self, batch: Batch) {
        self.batches.send(IngestWithAcksRequest { batch: Some(batch) }).await.unwrap();
    }

    async fn ack(&mut self) -> Result<Option<IngestWithAcksResponse>, Status> {
        tokio::time::timeout(Duration::from_secs(60), self.acks.message())
            .await
            .expect("no acknowledgement in time")
    }
}

#[tokio::test]
async fn many_batches_in_flight_are_acknowledged_in_order_and_once_each() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("order");
    let mut stream = Stream::open(&services).await;
    for sequence in 1..=500 {
        let mut points = vec![point(&device, now(), 1.0); 10];
        points[3].value = Some(f64::NAN);
        stream.send(numbered(&device, 1, sequence, points)).await;
    }
    let batches = stream.batches;
    drop(batches);
    for index in 0..500 {
        let ack = stream.acks.message().await.unwrap().unwrap();
        let result = ack.result.unwrap();
        assert_eq!((ack.batch_index, result.sequence), (index, index + 1));
        assert_eq!(
            (result.accepted_count, result.rejected_count, result.is_duplicate),
            (9, 1, false)
        );
        assert_eq!(result.rejections[0].point_index, 3);
        assert!(result.committed_at.is_some());
    }
    assert!(stream.acks.message().await.unwrap().is_none(), "the stream does not end with OK");
    assert_eq!(sql.count(&device).await, 4_500);
}

#[tokio::test]
async fn an_acknowledgement_comes_while_the_stream_is_open() {
    let services = Services::start().await;
    let device = unique("open");
    let mut stream = Stream::open(&services).await;
    for index in 0..3 {
        stream.send(batch(vec![point(&device, now(), 1.0)])).await;
        assert_eq!(stream.ack().await.unwrap().unwrap().batch_index, index);
    }
}

#[tokio::test]
async fn a_gap_ends_the_stream_after_the_batches_before_it_are_acknowledged() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("hole");
    let mut stream = Stream::open(&services).await;
    for sequence in [1, 2, 4, 5] {
        stream.send(numbered(&device, 1, sequence, vec![point(&device, now(), 1.0)])).await;
    }
    for sequence in [1, 2] {
        assert_eq!(stream.ack().await.unwrap().unwrap().result.unwrap().sequence, sequence);
    }
    let status = stream.ack().await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("the next sequence of epoch 1 is 3"), "{}", status.message());
    assert_eq!(sql.count(&device).await, 2);
}

#[tokio::test]
async fn two_streams_of_one_producer_store_each_sequence_once() {
    let services = Services::start().await;
    let other = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("twin");
    let mut streams = [Stream::open(&services).await, Stream::open(&other).await];
    let mut accepted = 0;
    let mut duplicate = 0;
    for sequence in 1..=50 {
        let batch = numbered(&device, 1, sequence, vec![point(&device, now(), 1.0); 20]);
        for stream in &streams {
            stream.send(batch.clone()).await;
        }
        for stream in &mut streams {
            let result = stream.ack().await.unwrap().unwrap().result.unwrap();
            let count = if result.is_duplicate { &mut duplicate } else { &mut accepted };
            *count += result.accepted_count;
        }
    }
    assert_eq!((accepted, duplicate), (1_000, 1_000));
    assert_eq!(sql.count(&device).await, 1_000);
}

#[tokio::test]
async fn a_producer_that_moves_with_batches_in_flight_loses_and_doubles_nothing() {
    let services = Services::start().await;
    let other = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("moves");
    let began = now(); // a resend must carry the same times
    let numbered = |sequence| numbered(&device, 1, sequence, vec![point(&device, began, 1.0); 20]);
    let mut acknowledged = 0;
    for (round, services) in [&services, &other, &services, &other].into_iter().enumerate() {
        let mut stream = Stream::open(services).await;
        for sequence in acknowledged + 1..=acknowledged + 40 {
            stream.send(numbered(sequence)).await;
        }
        for _ in 0..10 * (round + 1) {
            acknowledged = stream.ack().await.unwrap().unwrap().result.unwrap().sequence;
        }
        // The rest stays in flight. Some batches are stored, but the client does not learn which.
    }
    let mut stream = Stream::open(&services).await;
    for sequence in acknowledged + 1..=acknowledged + 40 {
        stream.send(numbered(sequence)).await;
        acknowledged =
            acknowledged.max(stream.ack().await.unwrap().unwrap().result.unwrap().sequence);
    }
    assert_eq!(sql.count(&device).await, acknowledged * 20);
}

#[tokio::test]
async fn a_stream_of_a_certain_age_is_ended_cleanly() {
    let services =
        Services::start_with(|config| config.server.stream_max_age = Duration::from_millis(300))
            .await;
    let device = unique("aged");
    let mut stream = Stream::open(&services).await;
    stream.send(batch(vec![point(&device, now(), 1.0)])).await;
    assert_eq!(stream.ack().await.unwrap().unwrap().batch_index, 0);
    assert!(stream.ack().await.unwrap().is_none(), "the stream does not end with OK");
}

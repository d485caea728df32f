//! Streams beyond carrying batches: heartbeats, and errors that report the fate of later batches.

use e2e::{Services, Sql, batch, now, numbered, point, unique};
use shared::proto::v1::{IngestRequest, IngestWithAcksRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic_types::StatusExt as _;

#[tokio::test]
async fn a_message_without_a_batch_keeps_a_stream_open_and_changes_nothing() {
    let services = Services::start().await;
    let device = unique("heartbeat");
    let heartbeat = || IngestRequest { batch: None };
    let data = || IngestRequest { batch: Some(batch(vec![point(&device, now(), 1.0)])) };
    let messages = vec![heartbeat(), data(), heartbeat(), heartbeat(), data(), heartbeat()];
    let summary =
        services.ingest.clone().ingest(tokio_stream::iter(messages)).await.unwrap().into_inner();
    assert_eq!((summary.batch_count, summary.accepted_count), (2, 2));

    let (sender, receiver) = mpsc::channel(8);
    let mut client = services.ingest.clone();
    let stream = client.ingest_with_acks(ReceiverStream::new(receiver));
    for index in 0..2 {
        sender.send(IngestWithAcksRequest { batch: None }).await.unwrap();
        let batch = Some(batch(vec![point(&device, now(), f64::from(index))]));
        sender.send(IngestWithAcksRequest { batch }).await.unwrap();
    }
    drop(sender);
    let mut acks = stream.await.unwrap().into_inner();
    for index in 0..2 {
        assert_eq!(
            acks.message().await.unwrap().unwrap().batch_index,
            index,
            "heartbeats must not be counted"
        );
    }
    assert!(acks.message().await.unwrap().is_none());
}

#[tokio::test]
async fn an_error_of_a_stream_says_which_batches_after_it_are_stored() {
    let services = Services::start().await;
    let good = unique("good");
    let gap = unique("gap");
    let one = |producer: &str, sequence| {
        numbered(producer, 0, sequence, vec![point(producer, now(), 1.0)])
    };
    // The service reads every batch before it detects the gap.
    let batches = vec![one(&good, 1), one(&gap, 2), one(&good, 2), one(&good, 3), one(&gap, 3)];
    let status = services.stream(batches).await.unwrap_err();
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "SEQUENCE_GAP");
    assert_eq!(info.metadata["failed_batch_index"], "1");
    let stored = &info.metadata["stored_batch_indices"];
    let mut sql = Sql::connect().await;
    let expected = match stored.as_str() {
        "" => 1,
        "2" => 2,
        "2-3" => 3,
        other => panic!("{other}: {status:?}"),
    };
    assert_eq!(sql.count(&good).await, expected, "the error reports {stored:?} as stored");
    assert_eq!(sql.count(&gap).await, 0);

    let bad = vec![
        batch(vec![point(&good, now(), 1.0)]),
        batch(vec![]),
        batch(vec![point(&good, now(), 1.0)]),
    ];
    let status = services.stream(bad).await.unwrap_err();
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.metadata["failed_batch_index"].as_str()),
        ("BATCH_FAILED", "1")
    );
    assert_eq!(
        info.metadata["stored_batch_indices"], "",
        "the batch must be refused before the next one is read"
    );
    assert!(status.message().ends_with("nothing after it is stored"), "{}", status.message());
}

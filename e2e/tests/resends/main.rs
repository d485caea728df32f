//! A resend of a numbered batch gets the first answer again. Different content under an applied
//! sequence is refused.

#![allow(clippy::unwrap_used)] // a failing test may panic

mod random;

use std::time::Duration;

use e2e::{Services, Sql, now, numbered, point, series, unique};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use random::{Instance, RandomSender};
use shared::proto::v1::{Batch, BatchResult, GetProducerRequest, Producer, RejectionReason};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const SECOND: i64 = 1_000_000;

/// Returns the answer that every resend must repeat.
fn again(first: &BatchResult) -> BatchResult {
    BatchResult { is_duplicate: true, ..first.clone() }
}

fn reason(status: &Status) -> String {
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    status.get_details_error_info().unwrap().reason
}

fn metadata(status: &Status, key: &str) -> Option<String> {
    status.get_details_error_info().unwrap().metadata.get(key).cloned()
}

#[tokio::test]
async fn a_resend_repeats_the_first_answer_whatever_the_clock_and_the_limits_are_then() {
    let device = unique("repeat");
    let batch = numbered(
        &device,
        1,
        1,
        vec![
            point(&device, now(), 1.0),
            point(&device, now() + 604 * SECOND, 2.0), // would be accepted a few seconds later
            point(&device, now() - 3_600 * SECOND, 3.0),
            point(&device, now(), f64::NAN),
        ],
    );
    let services = Services::start().await;
    let first = services.send(batch.clone()).await.unwrap();
    assert_eq!((first.accepted_count, first.rejected_count, first.is_duplicate), (2, 2, false));
    let reasons: Vec<_> = first.rejections.iter().map(|entry| entry.reason()).collect();
    assert_eq!(reasons, [RejectionReason::TimestampTooNew, RejectionReason::ValueNotFinite]);

    let later =
        Services::start_with(|config| config.limits.latest_accepted = Duration::from_secs(3_600))
            .await;
    assert_eq!(later.send(batch.clone()).await.unwrap(), again(&first));
    let much_later =
        Services::start_with(|config| config.limits.oldest_accepted = Duration::from_secs(60))
            .await;
    assert_eq!(much_later.send(batch.clone()).await.unwrap(), again(&first));
    let stricter =
        Services::start_with(|config| config.limits.batch_max_points = 3.try_into().unwrap()).await;
    assert_eq!(
        stricter.send(batch.clone()).await.unwrap(),
        again(&first),
        "a stricter limit must not apply to an applied batch"
    );
    let unknown = stricter.send(Batch { sequence: 2, ..batch.clone() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::ResourceExhausted, "the limit must apply to a new batch");
    assert_eq!(Sql::connect().await.count(&device).await, 2);
}

#[tokio::test]
async fn other_content_under_an_applied_sequence_is_refused_and_says_what_to_do() {
    let services = Services::start().await;
    let device = unique("reuse");
    let began = now();
    let send = |epoch, sequence, value| {
        services.send(numbered(&device, epoch, sequence, vec![point(&device, began, value)]))
    };
    for sequence in 1..=3 {
        send(0, sequence, 1.0).await.unwrap();
    }
    let reused = send(0, 1, 2.0).await.unwrap_err();
    assert_eq!(reason(&reused), "SEQUENCE_REUSED");
    assert_eq!(metadata(&reused, "expected_sequence").as_deref(), Some("4"));
    assert_eq!(metadata(&reused, "current_epoch").as_deref(), Some("0"));
    assert!(reused.message().contains("begin a new epoch at sequence 1"), "{}", reused.message());
    assert!(send(0, 1, 1.0).await.unwrap().is_duplicate, "the first content must still be known");
    assert_eq!(send(1, 1, 2.0).await.unwrap().accepted_count, 1, "a new epoch must be accepted");
    assert_eq!(Sql::connect().await.sum(&device).await, 5.0);
}

#[tokio::test]
async fn a_value_that_is_corrected_in_a_resend_is_not_taken_for_stored() {
    let services = Services::start().await;
    let device = unique("corrected");
    let batch = |value| {
        numbered(&device, 1, 1, vec![point(&device, 1_000_000 * (now() / 1_000_000), value)])
    };
    assert_eq!(services.send(batch(f64::NAN)).await.unwrap().rejected_count, 1);
    assert_eq!(reason(&services.send(batch(1.0)).await.unwrap_err()), "SEQUENCE_REUSED");
    assert_eq!(Sql::connect().await.count(&device).await, 0);
}

#[tokio::test]
async fn a_thousand_batches_are_remembered_and_what_lies_further_back_is_refused() {
    let services = Services::start().await;
    let device = unique("remembered");
    let began = now();
    let batch = |sequence| numbered(&device, 1, sequence, vec![point(&device, began, 1.0)]);
    let summary = services.stream((1..=1_200).map(batch).collect()).await.unwrap();
    assert_eq!(summary.accepted_count, 1_200);
    for sequence in [201, 700, 1_200] {
        let result = services.send(batch(sequence)).await.unwrap();
        assert_eq!(
            (result.sequence, result.accepted_count, result.is_duplicate),
            (sequence, 1, true)
        );
    }
    let too_old = services.send(batch(1)).await.unwrap_err();
    assert_eq!(reason(&too_old), "SEQUENCE_TOO_OLD");
    assert_eq!(metadata(&too_old, "expected_sequence").as_deref(), Some("1201"));
    let mut sql = Sql::connect().await;
    let pages =
        "SELECT count(*), sum(octet_length(entries)) FROM producer_batches WHERE producer_id = $1";
    let (pages, bytes): (i64, i64) =
        sqlx::query_as(pages).bind(&device).fetch_one(&mut sql.0).await.unwrap();
    assert!((1..100).contains(&pages) && bytes < 60_000, "{pages} pages, {bytes} bytes");
    let whole = services.stream((201..=1_200).map(batch).collect()).await.unwrap();
    assert_eq!((whole.accepted_count, whole.duplicate_count), (1_000, 1_000));
    assert_eq!(sql.count(&device).await, 1_200);
}

#[tokio::test]
async fn a_new_epoch_drops_what_was_remembered_of_the_old_one() {
    let services = Services::start().await;
    let device = unique("epochs");
    let began = now();
    let batch =
        |epoch, sequence| numbered(&device, epoch, sequence, vec![point(&device, began, 1.0)]);
    services.stream((1..=100).map(|sequence| batch(1, sequence)).collect()).await.unwrap();
    services.send(batch(2, 1)).await.unwrap();
    let pages = "SELECT count(*) FROM producer_batches WHERE producer_id = $1";
    let mut sql = Sql::connect().await;
    let pages: i64 = sqlx::query_scalar(pages).bind(&device).fetch_one(&mut sql.0).await.unwrap();
    assert_eq!(pages, 0);
    assert!(services.send(batch(2, 1)).await.unwrap().is_duplicate);
    assert_eq!(reason(&services.send(batch(1, 100)).await.unwrap_err()), "EPOCH_FENCED");
}

#[tokio::test]
async fn a_gap_names_the_epoch_of_the_ledger_and_not_that_of_the_request() {
    let services = Services::start().await;
    let device = unique("gap");
    let send = |epoch, sequence| {
        services.send(numbered(&device, epoch, sequence, vec![point(&device, now(), 1.0)]))
    };
    let unknown = send(1, 2).await.unwrap_err();
    assert_eq!(reason(&unknown), "SEQUENCE_GAP");
    assert_eq!(metadata(&unknown, "expected_sequence").as_deref(), Some("1"));
    assert_eq!(metadata(&unknown, "current_epoch"), None, "the producer is not in the ledger");
    send(1, 1).await.unwrap();
    let gap = send(2, 2).await.unwrap_err();
    assert_eq!(metadata(&gap, "expected_sequence").as_deref(), Some("1"));
    assert_eq!(metadata(&gap, "current_epoch").as_deref(), Some("1"));
}

#[tokio::test]
async fn a_producer_is_told_where_it_stands() {
    let services = Services::start().await;
    let device = unique("stands");
    let ask = || async {
        let request = GetProducerRequest { producer_id: device.clone() };
        services.ingest.clone().get_producer(request).await.map(tonic::Response::into_inner)
    };
    assert_eq!(ask().await.unwrap_err().code(), Code::NotFound);
    services.send(numbered(&device, 7, 2, vec![point(&device, now(), 1.0)])).await.unwrap_err();
    assert_eq!(
        ask().await.unwrap_err().code(),
        Code::NotFound,
        "a gap must not create the producer"
    );
    let before = now() - 60 * SECOND; // the clocks of test and database may differ
    let batch = |sequence| numbered(&device, 7, sequence, vec![point(&device, before, 1.0)]);
    services.stream((1..=50).map(batch).collect()).await.unwrap();
    let producer = ask().await.unwrap();
    assert_eq!(
        (producer.epoch, producer.last_sequence, producer.oldest_remembered_sequence),
        (7, 50, 1)
    );
    assert!(producer.last_batch_at.unwrap().seconds >= before / SECOND);
    let status = services
        .ingest
        .clone()
        .get_producer(GetProducerRequest { producer_id: "tidegauge/writer/1".to_owned() })
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn every_refused_point_is_known_however_many_there_are() {
    let services = Services::start().await;
    let device = unique("refused");
    let values: Vec<f64> = (0..1_000).map(|at| if at % 2 == 0 { 1.0 } else { f64::NAN }).collect();
    let columns = series(&device, vec![now(); 1_000], values);
    let batch = |sequence| Batch {
        producer: Some(Producer { producer_id: device.clone(), epoch: 0 }),
        sequence,
        series: vec![columns.clone()],
        ..Batch::default()
    };
    let refused: Vec<u32> = (1..1_000).step_by(2).collect();
    let result = services.send(batch(1)).await.unwrap();
    assert_eq!(
        (result.rejected_count, result.rejections.len(), result.rejections_truncated),
        (500, 100, true)
    );
    assert_eq!(result.rejected_points.as_ref().unwrap().starts, refused);
    assert_eq!(services.send(batch(1)).await.unwrap(), again(&result));
    let summary = services.stream(vec![batch(2), batch(3)]).await.unwrap();
    let listed =
        |index| summary.rejections.iter().filter(|entry| entry.batch_index == index).count();
    assert_eq!((listed(0), listed(1)), (100, 100), "the limit on listed rejections is per batch");
    for (index, batch) in summary.rejected_points.iter().enumerate() {
        assert_eq!(batch.batch_index, index as u64);
        assert_eq!(batch.points.as_ref().unwrap().starts, refused);
    }
}

#[tokio::test]
async fn the_first_answer_and_all_later_ones_are_equal_for_random_senders_limits_and_kills() {
    let mut instances = vec![
        Instance::start("TIDEGAUGE_LATEST_ACCEPTED", "10m").await,
        Instance::start("TIDEGAUGE_OLDEST_ACCEPTED", "10m").await,
        Instance::start("TIDEGAUGE_LATEST_ACCEPTED", "2h").await,
        Instance::start("TIDEGAUGE_BATCH_MAX_POINTS", "2").await,
    ];
    let mut sql = Sql::connect().await;
    let mut all_kills = 0;
    for seed in 0..20 {
        let mut sender = RandomSender {
            instances: &mut instances,
            random: StdRng::seed_from_u64(seed),
            device: unique("random"),
            began: now(),
            applied: Vec::new(),
            resends: 0,
            reuses: 0,
            kills: 0,
        };
        for _ in 0..60 {
            sender.step().await;
        }
        let RandomSender { resends, reuses, kills, .. } = sender;
        assert!(resends > 5 && reuses > 1, "{resends} resends, {reuses} reuses");
        all_kills += kills;
        let stored: u64 = sender.applied.iter().map(|(_, result)| result.accepted_count).sum();
        assert_eq!(sql.count(&sender.device).await, stored, "seed {seed}");
    }
    assert!(all_kills > 20, "{all_kills} kills");
}

//! Outcomes for points: stored once, or rejected with a reason. A bad point never costs a good one.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{
    OwnDatabase, Services, Sql, batch, named, now, numbered, point, series, unique, until,
    wait_until_serving,
};
use shared::proto::v1::{Batch, IngestRequest, RejectionReason};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_types::StatusExt as _;

#[tokio::test]
async fn points_stored_equal_points_accepted_in_both_forms_and_all_calls() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("forms");
    let start = now() - 3_600_000_000;
    let times: Vec<i64> = (0..5_000).map(|at| start + at * 1_000).collect();
    let values: Vec<f64> = (0..5_000).map(f64::from).collect();
    let rows = times
        .iter()
        .zip(&values)
        .map(|(&time, &value)| named(&device, "humidity", time, value))
        .collect();
    let columns = Batch {
        series: vec![series(&device, times.clone(), values.clone())],
        ..Default::default()
    };
    let summary = services.stream(vec![batch(rows), columns]).await.unwrap();
    assert_eq!(
        (summary.batch_count, summary.accepted_count, summary.rejected_count),
        (2, 10_000, 0)
    );
    let result = services.send(batch(vec![point(&device, now(), 1.0)])).await.unwrap();
    assert_eq!(result.accepted_count, 1);
    assert!(result.committed_at.is_some());
    assert_eq!(sql.count(&device).await, 10_001);
    let answer = services.range(&device, times[0], times[4_999] + 1).await.unwrap();
    assert_eq!((answer.timestamps_us, answer.values), (times, values));
}

#[tokio::test]
async fn one_bad_point_never_costs_a_good_one() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("bad");
    let time = now();
    let mut points = vec![point(&device, time, 1.0); 20];
    points[3].value = Some(f64::NAN);
    points[4].value = Some(f64::NEG_INFINITY);
    points[5].device_id = String::new();
    points[6].device_id = "x".repeat(257);
    points[7] = point(&device, time - 31 * 86_400_000_000, 1.0);
    points[8] = point(&device, time + 3_600_000_000, 1.0);
    let uneven = series(&device, vec![time; 3], vec![1.0; 2]);
    let good = series(&device, vec![time; 4], vec![1.0; 4]);
    let result = services
        .send(Batch { points, series: vec![uneven, good], ..Default::default() })
        .await
        .unwrap();
    assert_eq!((result.accepted_count, result.rejected_count), (18, 9));
    let listed: Vec<_> = result
        .rejections
        .iter()
        .map(|entry| (entry.point_index, entry.point_count, entry.reason()))
        .collect();
    assert_eq!(
        listed,
        [
            (3, 2, RejectionReason::ValueNotFinite),
            (5, 1, RejectionReason::DeviceIdEmpty),
            (6, 1, RejectionReason::DeviceIdTooLong),
            (7, 1, RejectionReason::TimestampTooOld),
            (8, 1, RejectionReason::TimestampTooNew),
            (20, 3, RejectionReason::ColumnLengthsDiffer),
        ]
    );
    assert!(
        result.rejections[2].message.contains("the limit is 256"),
        "{}",
        result.rejections[2].message
    );
    assert!(result.rejections[3].message.contains("30days"), "{}", result.rejections[3].message);
    assert_eq!(sql.count(&device).await, 18);
}

#[tokio::test]
async fn points_without_a_timestamp_get_the_services_time() {
    let services = Services::start().await;
    let device = unique("clock");
    let before = now();
    let mut bare = point(&device, 0, 7.0);
    bare.timestamp = None;
    services.send(batch(vec![bare])).await.unwrap();
    let answer = services.range(&device, before, now() + 1).await.unwrap();
    assert_eq!(answer.values, [7.0]);
}

#[tokio::test]
async fn an_empty_message_is_refused_and_the_batches_before_it_stay() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("empty");
    let status = services.send(Batch::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "batch");
    let batches = vec![
        batch(vec![point(&device, now(), 1.0)]),
        Batch::default(),
        batch(vec![point(&device, now(), 2.0)]),
    ];
    let status = services.stream(batches).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("message 1"), "{}", status.message());
    assert_eq!(sql.count(&device).await, 1);
}

#[tokio::test]
async fn a_message_over_the_limit_is_resource_exhausted_and_names_the_limit() {
    let services = Services::start().await;
    let device = unique("large");
    let columns = series(&device, vec![now(); 300_000], vec![1.0; 300_000]);
    let large = || Batch { series: vec![columns.clone()], ..Default::default() };
    for status in [
        services.send(large()).await.unwrap_err(),
        services.stream(vec![large()]).await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.message().contains("4194304 bytes"), "{}", status.message());
    }
    let columns = series(&device, vec![now(); 100_001], vec![1.0; 100_001]);
    let status =
        services.send(Batch { series: vec![columns], ..Default::default() }).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("the limit is 100000"), "{}", status.message());
}

#[tokio::test]
async fn a_numbered_batch_is_applied_once_however_often_it_is_sent() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("once");
    let began = now();
    let send = |epoch, sequence| {
        services.send(numbered(&device, epoch, sequence, vec![point(&device, began, 1.0); 10]))
    };
    assert_eq!(send(1, 1).await.unwrap().accepted_count, 10);
    let again = send(1, 1).await.unwrap();
    assert_eq!((again.accepted_count, again.is_duplicate), (10, true));

    let gap = send(1, 3).await.unwrap_err();
    assert_eq!(gap.code(), Code::FailedPrecondition);
    let info = gap.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.metadata["expected_sequence"].as_str()),
        ("SEQUENCE_GAP", "2")
    );

    assert_eq!(send(2, 1).await.unwrap().accepted_count, 10);
    let fenced = send(1, 2).await.unwrap_err();
    assert_eq!(fenced.code(), Code::FailedPrecondition);
    let info = fenced.get_details_error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.metadata["current_epoch"].as_str()),
        ("EPOCH_FENCED", "2")
    );
    assert_eq!(sql.count(&device).await, 20);
}

#[tokio::test]
async fn points_that_the_database_refuses_come_back_and_the_rest_is_stored() {
    let database = OwnDatabase::start().await;
    let mut sql = database.sql().await;
    let constraint = "ALTER TABLE points ADD CONSTRAINT no_sevens CHECK (value <> 7)";
    sqlx::query(constraint).execute(&mut sql.0).await.unwrap();
    let services = Services::start_on(&database.url).await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    let began = now();
    let refused_batch = |round: u64| {
        let mut points = vec![point("refused", began, 1.0); 50];
        points[3].value = Some(f64::NAN); // rejected earlier, and must not shift the indexes
        if round == 2 || round == 4 {
            points[10].value = Some(7.0);
            points[40].value = Some(7.0);
        }
        numbered("refused", 1, round + 1, points)
    };
    let summary = services.stream((0..6).map(refused_batch).collect()).await.unwrap();
    assert_eq!((summary.batch_count, summary.accepted_count, summary.rejected_count), (6, 290, 10));
    let refused = summary
        .rejections
        .iter()
        .filter(|entry| entry.reason() == RejectionReason::RefusedByDatabase);
    let found: Vec<_> =
        refused.map(|entry| (entry.batch_index, entry.point_index, entry.point_count)).collect();
    assert_eq!(found, [(2, 10, 1), (2, 40, 1), (4, 10, 1), (4, 40, 1)]);
    assert_eq!((sql.count("refused").await, sql.sum("refused").await), (290, 290.0));
    let again = services.send(refused_batch(2)).await.unwrap();
    assert_eq!(
        (again.accepted_count, again.rejected_count, again.is_duplicate),
        (47, 3, true),
        "a resend gets the first answer"
    );
    let listed: Vec<_> = again.rejections.iter().map(|entry| entry.point_index).collect();
    assert_eq!(listed, [3, 10, 40]);
    assert_eq!(again.rejected_points.unwrap().starts, [3, 10, 40]);
}

#[tokio::test]
async fn a_producer_that_was_idle_for_long_is_forgotten_and_begins_a_new_epoch() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("idle");
    let send = |epoch, sequence| {
        services.send(numbered(&device, epoch, sequence, vec![point(&device, now(), 1.0)]))
    };
    send(1, 1).await.unwrap();
    let age = "UPDATE producers SET updated_at = now() - INTERVAL '61 days' WHERE producer_id = $1";
    sqlx::query(age).bind(&device).execute(&mut sql.0).await.unwrap();
    let job =
        "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'forget_idle_producers'";
    let job: i32 = sqlx::query_scalar(job).fetch_one(&mut sql.0).await.unwrap();
    sqlx::query("CALL run_job($1)").bind(job).execute(&mut sql.0).await.unwrap();

    let gap = send(1, 2).await.unwrap_err();
    assert_eq!(gap.get_details_error_info().unwrap().metadata["expected_sequence"], "1");
    assert_eq!(send(2, 1).await.unwrap().accepted_count, 1);
    assert_eq!(sql.count(&device).await, 2);
}

#[tokio::test]
async fn no_index_of_the_ledger_covers_what_a_flush_changes() {
    let mut sql = Sql::connect().await;
    let indexes = "SELECT indexdef FROM pg_indexes WHERE tablename = 'producers'";
    let indexes: Vec<String> = sqlx::query_scalar(indexes).fetch_all(&mut sql.0).await.unwrap();
    assert_eq!(
        indexes.len(),
        1,
        "another index slows down every flush of many producers: {indexes:?}"
    );
    assert!(indexes[0].ends_with("(producer_id)"), "{indexes:?}");
}

#[tokio::test]
async fn many_clients_that_send_the_same_batch_store_it_once() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("same");
    let same = numbered(&device, 1, 1, vec![point(&device, now(), 1.0); 100]);
    let sends: Vec<_> = (0..32).map(|_| services.stream(vec![same.clone()])).collect();
    let mut accepted = 0;
    let mut duplicate = 0;
    for send in sends {
        let summary = send.await.unwrap();
        accepted += summary.accepted_count;
        duplicate += summary.duplicate_count;
    }
    assert_eq!((accepted, duplicate), (3_200, 3_100), "every client learns what is stored");
    assert_eq!(sql.count(&device).await, 100);
}

#[tokio::test]
async fn whole_batches_of_a_cut_stream_are_stored() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("cut");
    let (sender, receiver) = mpsc::channel(1);
    let mut client = services.ingest.clone();
    let call = tokio::spawn(async move { client.ingest(ReceiverStream::new(receiver)).await });
    for _ in 0..5 {
        let batch = Some(batch(vec![point(&device, now(), 1.0); 10]));
        sender.send(IngestRequest { batch }).await.unwrap();
    }
    // Batches that arrived are stored without the end of the stream.
    until("five batches are stored", async || (sql.count(&device).await >= 50).then_some(())).await;
    sender
        .send(IngestRequest { batch: Some(batch(vec![point(&device, now(), 1.0); 10])) })
        .await
        .unwrap();
    call.abort(); // the last batch may or may not have arrived
    assert!(call.await.unwrap_err().is_cancelled());
    services.begin_shutdown();
    services.ended().await;
    let stored = sql.count(&device).await;
    assert!([50, 60].contains(&stored), "{stored} points are stored: a batch was torn or lost");
}

#[tokio::test]
async fn concurrent_first_sights_of_a_series_create_it_once() {
    let services = Services::start().await;
    let other = Services::start().await;
    let device = unique("first");
    let mut sends = tokio::task::JoinSet::new();
    for mut client in [services.ingest.clone(), other.ingest.clone()].into_iter().cycle().take(16) {
        let device = device.clone();
        sends.spawn(async move {
            let points = (0..200)
                .map(|metric| named(&device, &format!("metric-{metric}"), now(), 1.0))
                .collect();
            let request = shared::proto::v1::IngestBatchRequest { batch: Some(batch(points)) };
            client.ingest_batch(request).await.unwrap().into_inner().result.unwrap().accepted_count
        });
    }
    assert_eq!(sends.join_all().await.into_iter().sum::<u64>(), 3_200);
    let mut sql = Sql::connect().await;
    let series: i64 = sqlx::query_scalar("SELECT count(*) FROM series WHERE device_id = $1")
        .bind(&device)
        .fetch_one(&mut sql.0)
        .await
        .unwrap();
    assert_eq!(series, 200);
    assert_eq!(sql.count(&device).await, 3_200);
}

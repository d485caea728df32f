//! Limit on the series that one client creates in a minute. Points over the limit are refused or
//! held back. Points of existing series are not.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::num::NonZeroUsize;
use std::time::Duration;

use e2e::{Services, Sql, batch, get, now, numbered, point, unique, until};
use shared::proto::v1::{Batch, IngestWithAcksRequest, Point};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const PATIENCE: Duration = Duration::from_secs(60);
/// New series per minute, few enough that no test waits for the next ones.
const FEW: usize = 60;

async fn start(per_minute: usize) -> Services {
    let per_minute = NonZeroUsize::new(per_minute).unwrap();
    Services::start_with(|config| config.series.new_series_per_minute = per_minute).await
}

fn points(devices: impl Iterator<Item = String>) -> Vec<Point> {
    let time = now() - 1_000_000;
    devices.map(|device| point(&device, time, 1.0)).collect()
}

fn devices(prefix: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |index| format!("{prefix}-{index}"))
}

async fn series(sql: &mut Sql, prefix: &str) -> usize {
    let statement = "SELECT count(*) FROM series WHERE starts_with(device_id, $1)";
    let count: i64 =
        sqlx::query_scalar(statement).bind(prefix).fetch_one(&mut sql.0).await.unwrap();
    usize::try_from(count).unwrap()
}

fn over_the_limit(status: &Status) -> (String, Duration) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let details = status.get_error_details();
    let violation = details.quota_failure().expect("QuotaFailure").violations[0].clone();
    assert_eq!(violation.subject, "clientip:127.0.0.1");
    (violation.description, details.retry_info().expect("RetryInfo").retry_delay.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_thousand_invented_devices_become_no_more_series_than_a_minute_allows() {
    let prefix = unique("flood");
    let mut sql = Sql::connect().await;
    let services = start(FEW).await;
    for part in 0..40 {
        let flood = batch(points(devices(&format!("{prefix}-{part}"), 1_000)));
        let (description, retry_after) = over_the_limit(&services.send(flood).await.unwrap_err());
        assert!(
            description.contains(
                "limit of 60 new series per minute reached (TIDEGAUGE_NEW_SERIES_PER_MINUTE)"
            ),
            "{description}"
        );
        assert!(
            description.contains("series of the batch do not exist yet; retry in"),
            "{description}"
        );
        assert!(
            !retry_after.is_zero() && retry_after <= Duration::from_secs(61),
            "{retry_after:?}"
        );
    }
    let created = series(&mut sql, &prefix).await;
    assert!(
        (FEW..3 * FEW).contains(&created),
        "{created} series, expected a minute's allowance plus what accrues during the test"
    );
    assert_eq!(sql.count(&prefix).await, 0, "points of a refused batch are stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_at_the_limit_goes_on_with_the_series_that_it_has() {
    let prefix = unique("at-limit");
    let mut sql = Sql::connect().await;
    let services = start(FEW).await;
    let known: Vec<String> = devices(&format!("{prefix}/known"), FEW).collect();
    services.send(batch(points(known.iter().cloned()))).await.unwrap();
    let mixed = || {
        numbered(
            &prefix,
            1,
            1,
            points(known.iter().cloned().chain(devices(&format!("{prefix}/new"), 5_000))),
        )
    };
    over_the_limit(&services.send(mixed()).await.unwrap_err());
    let result = services.send(batch(points(known.iter().cloned()))).await.unwrap();
    assert_eq!(result.accepted_count, FEW as u64);
    assert_eq!(sql.count(&prefix).await, 2 * FEW as u64);
    let (status, metrics) = get(&services.ingest_http, "/metrics").await.unwrap();
    assert_eq!(status, 200);
    assert!(metrics.contains("tidegauge_refusals_total{limit=\"new_series\""), "{metrics}");
    let created = metrics
        .lines()
        .find(|line| line.starts_with("tidegauge_series_created_total"))
        .expect("the metric is missing");
    let created: f64 = created.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(created >= FEW as f64 && created < 3.0 * FEW as f64, "{created}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_that_is_sent_again_needs_only_the_series_that_it_lacked() {
    const PER_MINUTE: usize = 6_000; // 100 per second
    let prefix = unique("again");
    let mut sql = Sql::connect().await;
    let services = start(PER_MINUTE).await;
    let sent = numbered(&prefix, 1, 1, points(devices(&prefix, PER_MINUTE + 100)));
    let mut refused = 0;
    let stored = async {
        loop {
            match services.send(sent.clone()).await {
                Ok(result) => return result,
                Err(status) => {
                    refused += 1;
                    tokio::time::sleep(over_the_limit(&status).1).await;
                }
            }
        }
    };
    let result = tokio::time::timeout(PATIENCE, stored).await.expect("the batch is still refused");
    assert!(refused > 0, "the limit was never reached");
    assert_eq!(result.accepted_count, (PER_MINUTE + 100) as u64);
    assert_eq!(series(&mut sql, &prefix).await, PER_MINUTE + 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_held_back_and_loses_nothing() {
    const PER_MINUTE: usize = 6_000;
    let prefix = unique("held-back");
    let mut sql = Sql::connect().await;
    let services = start(PER_MINUTE).await;
    let (batches, receiver) = mpsc::channel(1);
    let mut acks = services
        .ingest
        .clone()
        .ingest_with_acks(ReceiverStream::new(receiver))
        .await
        .unwrap()
        .into_inner();
    let send = |batch: Batch| batches.send(IngestWithAcksRequest { batch: Some(batch) });
    for part in 0..2 {
        send(batch(points(devices(&format!("{prefix}-{part}"), PER_MINUTE / 2 + 100))))
            .await
            .unwrap();
    }
    for index in 0..2 {
        let ack = tokio::time::timeout(PATIENCE, acks.message())
            .await
            .expect("no acknowledgement in time")
            .unwrap()
            .unwrap();
        assert_eq!(
            (ack.batch_index, ack.result.unwrap().accepted_count),
            (index, (PER_MINUTE / 2 + 100) as u64)
        );
    }
    assert_eq!(series(&mut sql, &prefix).await, PER_MINUTE + 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_held_back_ends_with_the_service() {
    let prefix = unique("held-at-end");
    let services = start(FEW).await;
    let (batches, receiver) = mpsc::channel(1);
    let mut acks = services
        .ingest
        .clone()
        .ingest_with_acks(ReceiverStream::new(receiver))
        .await
        .unwrap()
        .into_inner();
    let sent = batch(points(devices(&prefix, 100 * FEW)));
    batches.send(IngestWithAcksRequest { batch: Some(sent) }).await.unwrap();
    let mut sql = Sql::connect().await;
    until("the allowance of a minute is used up", async || {
        (series(&mut sql, &prefix).await >= FEW).then_some(())
    })
    .await;
    services.begin_shutdown();
    let status = tokio::time::timeout(PATIENCE, acks.message())
        .await
        .expect("the stream does not end in time")
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    tokio::time::timeout(PATIENCE, services.ended())
        .await
        .expect("the service does not end in time");
}

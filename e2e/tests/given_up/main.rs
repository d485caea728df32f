//! Abandoned calls leave no statement and no connection behind.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

mod watched;

use std::time::Duration;

use e2e::{at, now, selector, unique};
use rand::RngExt as _;
use shared::proto::v1::query_service_client::QueryServiceClient;
use shared::proto::v1::query_service_server::SERVICE_NAME;
use shared::proto::v1::{
    DetectAnomaliesRequest, GetLatestRequest, GetStorageStatsRequest, Granularity,
    ListDevicesRequest, QueryAggregatedRequest, QueryRangeRequest, SeriesKey,
};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use watched::Watched;

type Client = QueryServiceClient<Channel>;

const CONNECTIONS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);
/// Age of the points in microseconds, far from those of other tests.
const AGO: i64 = 300 * 86_400_000_000;

fn range(device: &str, max_points: u32) -> QueryRangeRequest {
    QueryRangeRequest {
        selectors: vec![selector(device)],
        start: at(now() - 2 * AGO),
        end: at(now()),
        max_points,
    }
}

fn aggregated(device: &str, granularity: Granularity) -> QueryAggregatedRequest {
    QueryAggregatedRequest {
        selectors: vec![selector(device)],
        start: at(now() - AGO - 3_600_000_000),
        end: at(now() - AGO + 86_400_000_000),
        granularity: granularity as i32,
        ..Default::default()
    }
}

fn anomalies(device: &str) -> DetectAnomaliesRequest {
    let series = SeriesKey { device_id: device.to_owned(), metric_name: "temperature".to_owned() };
    let start = now() - AGO + 3_600_000_000;
    let end = now() - AGO + 20_000_000_000;
    DetectAnomaliesRequest {
        series: Some(series),
        start: at(start),
        end: at(end),
        ..Default::default()
    }
}

/// Reads up to `$frames` messages of a stream, with a pause after each, and returns from the
/// function at its end.
macro_rules! read {
    ($answer:expr, $frames:expr, $pause:expr) => {{
        let mut stream = $answer?.into_inner();
        for _ in 0..$frames {
            if stream.message().await?.is_none() {
                return Ok(());
            }
            tokio::time::sleep($pause).await;
        }
        Ok(())
    }};
}

fn timed<T>(message: T, timeout: Option<Duration>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(timeout) = timeout {
        request.set_timeout(timeout);
    }
    request
}

/// Makes a random call with a random deadline, and reads a random part of its answer.
async fn some_call(mut client: Client, device: &str) -> Result<(), Status> {
    let (kind, frames, millis, deadline) = {
        let mut random = rand::rng();
        let deadline =
            random.random_bool(0.5).then(|| Duration::from_micros(random.random_range(0..60_000)));
        (random.random_range(0..9), random.random_range(0..60), random.random_range(0..5), deadline)
    };
    let pause = Duration::from_millis(millis);
    match kind {
        0 | 1 => read!(client.query_range(timed(range(device, 0), deadline)).await, frames, pause),
        2 => read!(client.query_range(timed(range(device, 500), deadline)).await, frames, pause),
        3 => {
            let request = timed(aggregated(device, Granularity::Minute), deadline);
            read!(client.query_aggregated(request).await, frames, pause)
        }
        4 => {
            let request = timed(aggregated(device, Granularity::Raw), deadline);
            read!(client.query_aggregated(request).await, frames, pause)
        }
        5 => client.detect_anomalies(timed(anomalies(device), deadline)).await.map(drop),
        6 => {
            let request = GetLatestRequest { device_id: device.to_owned(), ..Default::default() };
            client.get_latest(timed(request, deadline)).await.map(drop)
        }
        7 => client.list_devices(timed(ListDevicesRequest::default(), deadline)).await.map(drop),
        _ => {
            let request = GetStorageStatsRequest { include_chunks: true };
            client.get_storage_stats(timed(request, deadline)).await.map(drop)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_given_up_leave_no_statement_and_no_connection_behind() {
    let mut watched = Watched::start(PATIENCE).await;
    let device = unique("given-up");
    watched.write(&device, 200_000).await;
    let mut calls = JoinSet::new();
    let mut answered = 0;
    let mut begun = 0;
    while begun < 1_000 || !calls.is_empty() {
        if begun < 1_000 && calls.len() < 40 {
            let client = watched.client.clone();
            let device = device.clone();
            let patience = Duration::from_micros(rand::rng().random_range(0..80_000));
            calls.spawn(
                async move { tokio::time::timeout(patience, some_call(client, &device)).await },
            );
            begun += 1;
            continue;
        }
        match calls.join_next().await.unwrap().unwrap() {
            Ok(Ok(())) => answered += 1,
            Err(_given_up) => {}
            // A client's own clock turns its deadline into CANCELLED.
            Ok(Err(status)) => assert!(
                matches!(
                    status.code(),
                    Code::DeadlineExceeded | Code::Cancelled | Code::Unavailable
                ),
                "{status:?}"
            ),
        }
    }
    assert!(answered < 1_000, "no call was abandoned");
    watched.wait_until_at_rest().await;
    // Readiness and cancelling use one more connection each.
    let most = i64::try_from(CONNECTIONS + 2).unwrap();
    assert!(watched.connections().await.1 <= most, "{:?}", watched.connections().await);
    for _ in 0..5 {
        let mut calls = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let mut client = watched.client.clone();
            let request = range(&device, 100);
            calls.spawn(async move {
                let mut frames = client.query_range(request).await?.into_inner();
                let mut count = 0;
                while frames.message().await?.is_some() {
                    count += 1;
                }
                Ok::<_, Status>(count)
            });
        }
        while let Some(answer) = calls.join_next().await {
            assert_eq!(
                answer.unwrap().expect("no answer"),
                3,
                "expected header, points and footer"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_given_up_at_once_do_not_break_their_connection() {
    let watched = Watched::start(PATIENCE).await;
    let endpoint = Endpoint::from_shared(watched.services.query_url.clone()).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let health = HealthCheckRequest { service: SERVICE_NAME.to_owned() };
    let mut states = HealthClient::new(channel.clone()).watch(health).await.unwrap().into_inner();
    let serving = async {
        while states.message().await.unwrap().expect("a state").status() != ServingStatus::Serving {
        }
    };
    tokio::time::timeout(PATIENCE, serving).await.expect("query-service is not serving in time");
    for round in 0..1_000 {
        let mut calls = JoinSet::new();
        for _ in 0..120 {
            let mut client = QueryServiceClient::new(channel.clone());
            calls.spawn(async move {
                client.list_devices(ListDevicesRequest::default()).await.map(drop)
            });
        }
        for _ in 0..round % 40 {
            tokio::task::yield_now().await;
        }
        calls.abort_all();
        while let Some(call) = calls.join_next().await {
            if let Ok(answered) = call {
                answered.expect("no answer");
            }
        }
    }
    let state = tokio::time::timeout(Duration::ZERO, states.message()).await;
    assert!(state.is_err(), "the connection was replaced: {state:?}");
}

#[tokio::test]
async fn a_statement_that_waits_is_cancelled_when_its_call_ends() {
    let mut watched = Watched::start(Duration::from_secs(2)).await;
    let device = unique("waits");
    if watched.sql.has_one_backend().await {
        return; // with one backend, a lock would block every other test
    }
    watched.write(&device, 10).await;
    let request = || GetLatestRequest { device_id: device.clone(), ..Default::default() };
    watched.client.get_latest(request()).await.expect("no answer before the lock");

    sqlx::raw_sql("BEGIN; LOCK TABLE series IN ACCESS EXCLUSIVE MODE")
        .execute(&mut watched.sql.0)
        .await
        .unwrap();
    for _ in 0..2 * CONNECTIONS {
        let mut client = watched.client.clone();
        let given_up =
            tokio::time::timeout(Duration::from_millis(50), client.get_latest(request()));
        assert!(given_up.await.is_err(), "the lock blocks no statement");
    }
    let status = watched
        .client
        .get_latest(timed(request(), Some(Duration::from_millis(200))))
        .await
        .unwrap_err();
    // The deadline may be noticed by either clock.
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    let status = watched.client.query_range(range(&device, 0)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    assert!(status.message().contains("longer than 2s (TIDEGAUGE_QUERY_TIMEOUT)"), "{status:?}");
    watched.wait_until_at_rest().await; // the table is still locked
    sqlx::raw_sql("ROLLBACK").execute(&mut watched.sql.0).await.unwrap();

    assert_eq!(
        watched
            .client
            .get_latest(request())
            .await
            .expect("no answer after the lock")
            .into_inner()
            .points
            .len(),
        1
    );
}

#[tokio::test]
async fn a_slow_client_holds_no_connection_and_little_memory() {
    const POINTS: i32 = 1_000_000;
    let mut watched = Watched::start(PATIENCE).await;
    let device = unique("slow");
    watched.write(&device, POINTS).await;
    let before = resident_bytes();
    let mut frames = watched.client.query_range(range(&device, 0)).await.unwrap().into_inner();
    let mut rows = 0;
    let mut most = 0;
    let mut seen = 0;
    loop {
        if seen % 50 == 0 {
            watched.wait_until_at_rest().await; // long before the client has read everything
        }
        let Some(frame) = frames.message().await.unwrap() else { break };
        seen += 1;
        most = most.max(resident_bytes());
        if let Some(shared::proto::v1::query_range_response::Frame::Points(points)) = frame.frame {
            rows += points.values.len();
        }
    }
    assert_eq!(rows, usize::try_from(POINTS).unwrap());
    let growth = most.saturating_sub(before);
    assert!(
        growth < 64 * 1024 * 1024,
        "service and client together grew by {} MiB, limit 64 MiB",
        growth >> 20
    );
}

/// Returns the resident memory of this process in bytes, or 0 where the system does not report it.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|numbers| numbers.split(' ').nth(1)?.parse::<usize>().ok());
    pages.map_or(0, |pages| pages * 4_096)
}

//! An interrupted subscription resumes where it ended.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use e2e::watch::{Told, Watch, send_baseline, send_whole, start_watchful, watch_prefix};
use e2e::{OwnDatabase, Proxy, at, now, unique, until};
use rand::RngExt as _;
use shared::proto::v1::{DetectAnomaliesRequest, SeriesKey, WatchAnomaliesRequest};
use shared::time;
use tonic::Code;
use tonic_types::StatusExt as _;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Time limit for a step of a test.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the token as if it had been issued earlier. Its second word is the time from which
/// points are examined again.
fn aged(token: &str, micros: i64) -> String {
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(token).unwrap();
    let floor = i64::from_le_bytes(bytes[9..17].try_into().unwrap()) - micros;
    bytes[9..17].copy_from_slice(&floor.to_le_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[tokio::test]
async fn every_token_resumes_without_loss_or_repetition() {
    let database = OwnDatabase::start().await;
    let services = start_watchful(&database.url).await;
    let device = unique("resume");
    send_baseline(&database, &services, &device).await;
    let mut watch = Watch::start(&services, watch_prefix(&device)).await.unwrap();
    let mut before = vec![(watch.token.clone(), watch.told.clone())];
    let mut expected = Told::new();
    for round in 0..8 {
        let late = rand::rng().random_range(0..9 * MINUTE);
        let points = [
            (now(), 1_000 + round),
            (now() - late, 1_010 + round),
            (now() - 5 * MINUTE, 1_020 + round),
        ];
        expected.append(&mut send_whole(&services, &device, &points).await);
        let reported = async {
            while watch.told.len() < expected.len() {
                watch.next().await.unwrap();
                before.push((watch.token.clone(), watch.told.clone()));
            }
        };
        tokio::time::timeout(PATIENCE, reported).await.expect("not every anomaly in time");
    }
    drop(watch);
    let missed = [(now(), 1_030), (now() - 9 * MINUTE, 1_031), (now() - 9 * MINUTE, 20)];
    send_whole(&services, &device, &missed).await;
    expected.extend(missed[..2].iter().map(|&(time, value)| (device.clone(), time, value)));
    let last = before.len() - 1;
    for (resume_token, told) in
        [0, rand::rng().random_range(1..last), last].map(|at| before[at].clone())
    {
        let request = WatchAnomaliesRequest { resume_token, ..watch_prefix(&device) };
        let mut resumed = Watch::start(&services, request).await.unwrap();
        resumed.until_quiet().await.unwrap();
        assert_eq!(resumed.told, &expected - &told);
    }
}

#[tokio::test]
async fn hours_that_were_missed_are_made_up_for_minute_by_minute() {
    let database = OwnDatabase::start().await;
    let services = start_watchful(&database.url).await;
    let device = unique("hours");
    send_baseline(&database, &services, &device).await;
    let token = Watch::start(&services, watch_prefix(&device)).await.unwrap().token;
    let missed: Vec<(i64, i64)> = (1..30).map(|at| (now() - at * 5 * MINUTE, 1_000 + at)).collect();
    let expected = send_whole(&services, &device, &missed).await;
    database.sql().await.refresh(now() - 2 * DAY, now() - 2 * MINUTE).await;
    let baseline = Some(time::to_duration(40 * MINUTE));
    let question = WatchAnomaliesRequest { baseline, ..watch_prefix(&device) };
    let own = Watch::start(&services, question.clone()).await.unwrap().token;
    assert_ne!(own, token, "tokens of different requests are equal");
    let request = WatchAnomaliesRequest { resume_token: aged(&own, 3 * HOUR), ..question };
    let mut resumed = Watch::start(&services, request).await.unwrap();
    let mut compared = 0;
    // Later anomalies were there before the token.
    let in_reach = |told: &&(String, i64, i64)| told.1 < now() - 10 * MINUTE;
    let deadline = Instant::now() + PATIENCE;
    while compared < expected.iter().filter(in_reach).count() {
        assert!(Instant::now() < deadline, "compared only {compared} anomalies in time");
        for told in resumed.next().await.unwrap().anomalies {
            let timestamp = time::from_timestamp(&told.timestamp.unwrap()).unwrap();
            let request = DetectAnomaliesRequest {
                series: Some(SeriesKey {
                    device_id: device.clone(),
                    metric_name: "temperature".to_owned(),
                }),
                start: at(timestamp),
                end: at(timestamp + 1),
                baseline,
                ..Default::default()
            };
            let asked = services
                .query
                .clone()
                .detect_anomalies(request)
                .await
                .unwrap()
                .into_inner()
                .anomalies[0];
            assert!(
                (told.score - asked.score).abs() <= 1e-9 * asked.score,
                "watched {told:?}, detected {asked:?}"
            );
            compared += 1;
        }
    }
    resumed.until_quiet().await.unwrap();
    assert!(resumed.told.is_subset(&expected));
}

#[tokio::test]
async fn a_shutdown_ends_a_subscription_which_then_resumes_elsewhere() {
    let database = OwnDatabase::start().await;
    let services = start_watchful(&database.url).await;
    let device = unique("shutdown");
    send_baseline(&database, &services, &device).await;
    let mut watch = Watch::start(&services, watch_prefix(&device)).await.unwrap();
    services.begin_shutdown();
    let status = watch.until_quiet().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{}", status.message());
    assert!(status.get_details_retry_info().is_some());
    tokio::time::timeout(Duration::from_secs(20), services.ended())
        .await
        .expect("the services did not end within the grace period");
    let services = start_watchful(&database.url).await;
    let expected = send_whole(&services, &device, &[(now(), 50), (now() - 5 * MINUTE, 51)]).await;
    let request = WatchAnomaliesRequest { resume_token: watch.token, ..watch_prefix(&device) };
    let mut resumed = Watch::start(&services, request).await.unwrap();
    resumed.until_quiet().await.unwrap();
    assert_eq!(resumed.told, expected);
}

#[tokio::test]
async fn a_database_that_goes_away_ends_a_subscription_and_nothing_is_lost() {
    let database = OwnDatabase::start().await;
    let direct = start_watchful(&database.url).await;
    let device = unique("away");
    let proxy = Proxy::start(&database.url, true).await;
    let services = start_watchful(&proxy.url(&database.url)).await;
    send_baseline(&database, &direct, &device).await;
    let mut watch = Watch::start(&services, watch_prefix(&device)).await.unwrap();
    proxy.set_open(false);
    let status = watch.until_quiet().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{}", status.message());
    let expected = send_whole(&direct, &device, &[(now(), 50), (now() - 5 * MINUTE, 51)]).await;
    proxy.set_open(true);
    let resumed = until("the subscription resumes", async || {
        let resume_token = watch.token.clone();
        let request = WatchAnomaliesRequest { resume_token, ..watch_prefix(&device) };
        match Watch::start(&services, request).await {
            Ok(resumed) => Some(resumed),
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{}", status.message());
                None
            }
        }
    });
    let mut resumed = resumed.await;
    resumed.until_quiet().await.unwrap();
    assert_eq!(resumed.told, expected);
}

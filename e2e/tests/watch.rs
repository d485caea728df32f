//! Anomalies are reported as points arrive, each once, late ones too.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::time::Duration;

use e2e::watch::{Told, Watch, send_baseline, send_whole, start_watchful, watch_prefix};
use e2e::{
    OwnDatabase, Services, at, database_url, now, selector, series, unique, until,
    wait_until_serving,
};
use rand::RngExt as _;
use shared::granularity::Granularity;
use shared::proto::v1::{
    Anomaly, AnomalyMethod, Batch, DetectAnomaliesRequest, SeriesKey, WatchAnomaliesRequest,
    WatchAnomaliesResponse,
};
use shared::time;
use tonic::Code;
use tonic_types::StatusExt as _;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Time limit for an anomaly to be reported.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn new_anomalies_are_told_once_late_ones_too_and_none_that_was_there_before() {
    let database = OwnDatabase::start().await;
    let services = start_watchful(&database.url).await;
    let device = unique("watch");
    let one = format!("{device}-1");
    let two = format!("{device}-2");
    let three = format!("{device}-3");
    send_baseline(&database, &services, &one).await;
    send_baseline(&database, &services, &two).await;
    send_whole(&services, &one, &[(now() - MINUTE, 990)]).await;
    let mut watch = Watch::start(&services, watch_prefix(&device)).await.unwrap();
    let mut expected = Told::new();
    send_whole(&services, &one, &[(now() - 11 * MINUTE, 980)]).await;
    for round in 0..20 {
        let time = now();
        let late = rand::rng().random_range(0..9 * MINUTE);
        send_whole(&services, &one, &[(time, 20), (time - 1, 21), (time - late, 20)]).await;
        expected.append(
            &mut send_whole(&services, &one, &[(time, 1_000 + round), (time - late, -960 - round)])
                .await,
        );
        let same = [(time - late, -960), (time - late, -960), (time - late, 1_000)];
        expected.append(&mut send_whole(&services, &two, &same).await);
    }
    watch.until_quiet().await.unwrap();
    assert_eq!(watch.told, expected);
    send_baseline(&database, &services, &three).await;
    // The first baseline may have been read before its points were in the rollup. The baseline of
    // the next minute includes them.
    let reported = async {
        while !watch.told.iter().any(|(device, ..)| *device == three) {
            expected.append(&mut send_whole(&services, &three, &[(now(), 999)]).await);
            watch.next().await.unwrap();
        }
    };
    tokio::time::timeout(2 * PATIENCE, reported).await.expect("no anomaly of a new series");
    assert!(watch.told.is_subset(&expected), "an unexpected anomaly was reported");
}

#[tokio::test]
async fn what_is_told_equals_what_detect_anomalies_says_of_it_by_every_method() {
    let database = OwnDatabase::start().await;
    let services = start_watchful(&database.url).await;
    for method in [AnomalyMethod::ZScore, AnomalyMethod::Robust, AnomalyMethod::Seasonal] {
        let device = unique("methods");
        send_baseline(&database, &services, &device).await;
        let weeks_ago =
            |weeks: i64| (0..400).map(move |at| now() - weeks * 7 * DAY + (at - 200) * 30 * SECOND);
        let times: Vec<i64> = (1..=2).flat_map(weeks_ago).collect();
        let values = times.iter().map(|time| 30.0 + (time / SECOND % 11) as f64).collect();
        services
            .send(Batch { series: vec![series(&device, times, values)], ..Default::default() })
            .await
            .unwrap();
        database.sql().await.refresh(now() - 16 * DAY, now() - 6 * DAY).await;
        let length = if method == AnomalyMethod::Seasonal { 14 * DAY } else { 2 * HOUR };
        let baseline = Some(time::to_duration(length));
        let request =
            WatchAnomaliesRequest { method: method as i32, baseline, ..watch_prefix(&device) };
        let mut watch = Watch::start(&services, request).await.unwrap();
        let time = now();
        send_whole(&services, &device, &[(time, 99)]).await;
        let message = next_anomalies(&mut watch).await;
        let start = match method {
            AnomalyMethod::Seasonal => Granularity::Hour.floor(time),
            AnomalyMethod::Robust => time - time.rem_euclid(10 * MINUTE),
            _ => Granularity::Minute.floor(time),
        };
        let request = DetectAnomaliesRequest {
            series: Some(SeriesKey {
                device_id: device.clone(),
                metric_name: "temperature".to_owned(),
            }),
            start: at(start),
            end: at(time + 1),
            baseline,
            method: method as i32,
            ..Default::default()
        };
        let answer = services.query.clone().detect_anomalies(request).await.unwrap().into_inner();
        let detected = answer.anomalies[answer.anomalies.len() - 1];
        assert_eq!(detected.value, 99.0);
        check_equal(message.anomalies[0], detected, method);
        let told = message.baseline.unwrap();
        let asked = answer.baseline.unwrap();
        assert_eq!((told.end, told.median, told.state()), (asked.end, asked.median, asked.state()));
        if method != AnomalyMethod::Seasonal {
            assert_eq!((told.start, told.count), (asked.start, asked.count));
        }
    }
}

/// Waits for the next message with anomalies.
async fn next_anomalies(watch: &mut Watch) -> WatchAnomaliesResponse {
    let reported = async {
        loop {
            let message = watch.next().await.unwrap();
            if !message.anomalies.is_empty() {
                break message;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reported).await.expect("no anomaly in time")
}

/// Checks that a watched anomaly equals a detected one, up to rounding.
fn check_equal(watched: Anomaly, detected: Anomaly, method: AnomalyMethod) {
    assert_eq!(
        (watched.timestamp, watched.value, watched.direction),
        (detected.timestamp, detected.value, detected.direction)
    );
    let numbers = |it: Anomaly| [it.expected_value, it.lower_bound, it.upper_bound, it.score];
    for (watched, detected) in numbers(watched).into_iter().zip(numbers(detected)) {
        assert!(
            (watched - detected).abs() <= 1e-9 * detected.abs(),
            "{method:?}: watched {watched}, detected {detected}"
        );
    }
}

#[tokio::test]
async fn tokens_of_others_unknown_devices_and_one_subscription_too_many_are_refused() {
    let services = Services::start_query_with(&database_url(), |config| {
        config.watch_interval = Duration::from_millis(20);
        config.watch_subscriptions = 1.try_into().unwrap();
    })
    .await;
    wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
    let refused =
        async |request| services.query.clone().watch_anomalies(request).await.unwrap_err();
    let nobody = unique("nobody");
    let status =
        refused(WatchAnomaliesRequest { selectors: vec![selector(&nobody)], ..Default::default() })
            .await;
    assert!(
        status.code() == Code::NotFound && status.message().contains(&nobody),
        "{}",
        status.message()
    );
    let watch = Watch::start(&services, watch_prefix(&nobody)).await.unwrap();
    let status = refused(watch_prefix(&nobody)).await;
    assert!(status.code() == Code::ResourceExhausted, "{}", status.message());
    assert!(
        status.message().contains("1 subscriptions") && status.get_details_retry_info().is_some()
    );
    let resume_token = watch.token.clone();
    drop(watch);
    let other = WatchAnomaliesRequest { resume_token, threshold: 5.0, ..watch_prefix(&nobody) };
    // The subscription ends once the service has noticed that the client is gone.
    let status = until("the first subscription ends", async || {
        let status = refused(other.clone()).await;
        (status.code() != Code::ResourceExhausted).then_some(status)
    })
    .await;
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("another subscription"), "{}", status.message());
}

#[tokio::test]
async fn a_subscription_of_a_certain_age_is_ended_cleanly_and_goes_on_with_its_last_token() {
    let services = Services::start_query_with(&database_url(), |config| {
        config.watch_interval = Duration::from_millis(20);
        config.server.stream_max_age = Duration::from_millis(300);
    })
    .await;
    wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
    let request = watch_prefix(&unique("aged"));
    let mut messages =
        services.query.clone().watch_anomalies(request.clone()).await.unwrap().into_inner();
    let mut resume_token = String::new();
    while let Some(message) = messages.message().await.expect("the stream does not end with OK") {
        resume_token = message.resume_token;
    }
    Watch::start(&services, WatchAnomaliesRequest { resume_token, ..request }).await.unwrap();
}

//! Anomalies are told as points arrive: each once, late ones too, also across an interruption.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic
#![allow(clippy::cast_possible_truncation)] // whole degrees

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::{Proxy, Services, Sql, at, batch, database_url, now, point, selector, series, unique, wait_until_serving};
use rand::RngExt as _;
use shared::granularity::Granularity;
use shared::proto::v1::{
    AnomalyMethod, Batch, DetectAnomaliesRequest, SeriesKey, SeriesSelector, WatchAnomaliesRequest,
    WatchAnomaliesResponse, series_selector,
};
use shared::time;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const PATIENCE: Duration = Duration::from_secs(60);

/// Device, time and value of what was told.
type Told = BTreeSet<(String, i64, i64)>;

async fn start(url: &str) -> Services {
    let services = Services::start_query_with(url, |config| config.watch_interval = Duration::from_millis(20)).await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
    services
}

/// Three hours of ordinary values, up to where the look-back begins: so many that the anomalies that become part of the
/// baseline meanwhile do not hide one another.
async fn send_baseline(services: &Services, device: &str) {
    let end = now() - 11 * MINUTE;
    let times: Vec<i64> = (1..1_600).map(|at| end - at * 7 * SECOND).collect();
    let values = (1..1_600).map(|at| 20.0 + f64::from(at % 7) / 4.0).collect();
    services.send(Batch { series: vec![series(device, times, values)], ..Default::default() }).await.unwrap();
    Sql::connect().await.refresh(end - 2 * DAY, end).await;
}

/// Sends whole degrees and returns them as they are told.
async fn send(services: &Services, device: &str, points: &[(i64, i64)]) -> Told {
    let rows = points.iter().map(|&(time, value)| point(device, time, value as f64)).collect();
    assert_eq!(services.send(batch(rows)).await.unwrap().accepted_count, points.len() as u64);
    points.iter().map(|&(time, value)| (device.to_owned(), time, value)).collect()
}

fn prefix(device_id_prefix: &str) -> WatchAnomaliesRequest {
    let device = Some(series_selector::Device::DeviceIdPrefix(device_id_prefix.to_owned()));
    let selectors = vec![SeriesSelector { device, metric_name: "temperature".to_owned() }];
    WatchAnomaliesRequest { selectors, ..Default::default() }
}

/// A subscription and what it has told.
struct Watch {
    messages: Streaming<WatchAnomaliesResponse>,
    told: Told,
    token: String,
}

impl Watch {
    /// Subscribes and waits for the first message, which says that all from now on is watched.
    async fn start(services: &Services, request: WatchAnomaliesRequest) -> Result<Self, Status> {
        let messages = services.query.clone().watch_anomalies(request).await?.into_inner();
        let mut watch = Self { messages, told: Told::new(), token: String::new() };
        let first = watch.next().await?;
        assert!(first.series.is_none() && first.anomalies.is_empty());
        Ok(watch)
    }

    async fn next(&mut self) -> Result<WatchAnomaliesResponse, Status> {
        let message = tokio::time::timeout(PATIENCE, self.messages.message()).await.expect("a message in time")?;
        let message = message.expect("the stream does not end by itself");
        for anomaly in &message.anomalies {
            let device = message.series.as_ref().expect("a series").device_id.clone();
            let found = (device, time::from_timestamp(&anomaly.timestamp.unwrap()).unwrap(), anomaly.value as i64);
            assert!(self.told.insert(found.clone()), "told twice: {found:?}");
        }
        self.token.clone_from(&message.resume_token);
        Ok(message)
    }

    /// Reads on until nothing new came for many looks, and so for several sweeps.
    async fn until_quiet(&mut self) -> Result<(), Status> {
        let mut quiet = 0;
        while quiet < 2 {
            quiet = if self.next().await?.anomalies.is_empty() { quiet + 1 } else { 0 };
        }
        Ok(())
    }
}

#[tokio::test]
async fn new_anomalies_are_told_once_late_ones_too_and_none_that_was_there_before() {
    let (services, device) = (start(&database_url()).await, unique("watch"));
    let (one, two, three) = (format!("{device}-1"), format!("{device}-2"), format!("{device}-3"));
    send_baseline(&services, &one).await;
    send_baseline(&services, &two).await;
    send(&services, &one, &[(now() - MINUTE, 990)]).await;
    let mut watch = Watch::start(&services, prefix(&device)).await.unwrap();
    let mut expected = Told::new();
    send(&services, &one, &[(now() - 11 * MINUTE, 980)]).await;
    for round in 0..20 {
        let time = now();
        let late = rand::rng().random_range(0..9 * MINUTE);
        send(&services, &one, &[(time, 20), (time - 1, 21), (time - late, 20)]).await;
        expected.append(&mut send(&services, &one, &[(time, 1_000 + round), (time - late, -960 - round)]).await);
        let same = [(time - late, -960), (time - late, -960), (time - late, 1_000)];
        expected.append(&mut send(&services, &two, &same).await);
    }
    watch.until_quiet().await.unwrap();
    assert_eq!(watch.told, expected);
    send_baseline(&services, &three).await;
    expected.append(&mut send(&services, &three, &[(now(), 999)]).await);
    while watch.told.len() < expected.len() {
        watch.next().await.unwrap();
    }
    assert_eq!(watch.told, expected, "a series that begins to match later");
}

#[tokio::test]
async fn every_token_resumes_without_loss_or_repetition() {
    let (services, device) = (start(&database_url()).await, unique("resume"));
    send_baseline(&services, &device).await;
    let mut watch = Watch::start(&services, prefix(&device)).await.unwrap();
    let mut before = vec![(watch.token.clone(), watch.told.clone())];
    let mut expected = Told::new();
    for round in 0..8 {
        let late = rand::rng().random_range(0..9 * MINUTE);
        let points = [(now(), 1_000 + round), (now() - late, 1_010 + round), (now() - 5 * MINUTE, 1_020 + round)];
        expected.append(&mut send(&services, &device, &points).await);
        while watch.told.len() < expected.len() {
            watch.next().await.unwrap();
            before.push((watch.token.clone(), watch.told.clone()));
        }
    }
    drop(watch);
    let missed = [(now(), 1_030), (now() - 9 * MINUTE, 1_031), (now() - 9 * MINUTE, 20)];
    send(&services, &device, &missed).await;
    expected.extend(missed[..2].iter().map(|&(time, value)| (device.clone(), time, value)));
    let last = before.len() - 1;
    for (resume_token, told) in [0, rand::rng().random_range(1..last), last].map(|at| before[at].clone()) {
        let request = WatchAnomaliesRequest { resume_token, ..prefix(&device) };
        let mut resumed = Watch::start(&services, request).await.unwrap();
        resumed.until_quiet().await.unwrap();
        assert_eq!(resumed.told, &expected - &told);
    }
}

#[tokio::test]
async fn what_is_told_equals_what_detect_anomalies_says_of_it_by_every_method() {
    let services = start(&database_url()).await;
    for method in [AnomalyMethod::ZScore, AnomalyMethod::Robust, AnomalyMethod::Seasonal] {
        let device = unique("methods");
        send_baseline(&services, &device).await;
        let weeks_ago = |weeks: i64| (0..400).map(move |at| now() - weeks * 7 * DAY + (at - 200) * 30 * SECOND);
        let times: Vec<i64> = (1..=2).flat_map(weeks_ago).collect();
        let values = times.iter().map(|time| 30.0 + (time / SECOND % 11) as f64).collect();
        services.send(Batch { series: vec![series(&device, times, values)], ..Default::default() }).await.unwrap();
        Sql::connect().await.refresh(now() - 16 * DAY, now() - 6 * DAY).await;
        let length = if method == AnomalyMethod::Seasonal { 14 * DAY } else { 2 * HOUR };
        let baseline = Some(time::to_duration(length));
        let request = WatchAnomaliesRequest { method: method as i32, baseline, ..prefix(&device) };
        let mut watch = Watch::start(&services, request).await.unwrap();
        let time = now();
        send(&services, &device, &[(time, 99)]).await;
        let message = loop {
            let message = watch.next().await.unwrap();
            if !message.anomalies.is_empty() {
                break message;
            }
        };
        let start = match method {
            AnomalyMethod::Seasonal => Granularity::Hour.floor(time),
            AnomalyMethod::Robust => time - time.rem_euclid(10 * MINUTE),
            _ => Granularity::Minute.floor(time),
        };
        let request = DetectAnomaliesRequest {
            series: Some(SeriesKey { device_id: device.clone(), metric_name: "temperature".to_owned() }),
            start: at(start),
            end: at(time + 1),
            baseline,
            method: method as i32,
            ..Default::default()
        };
        let answer = services.query.clone().detect_anomalies(request).await.unwrap().into_inner();
        let (told, asked) = (message.anomalies[0], answer.anomalies[0]);
        assert_eq!((told.timestamp, told.value, told.direction), (asked.timestamp, 99.0, asked.direction));
        let numbers = |it: shared::proto::v1::Anomaly| [it.expected_value, it.lower_bound, it.upper_bound, it.score];
        for (told, asked) in numbers(told).into_iter().zip(numbers(asked)) {
            assert!((told - asked).abs() <= 1e-9 * asked.abs(), "{told} is not {asked} by {method:?}");
        }
        let (told, asked) = (message.baseline.unwrap(), answer.baseline.unwrap());
        assert_eq!((told.end, told.median, told.state()), (asked.end, asked.median, asked.state()));
        if method != AnomalyMethod::Seasonal {
            assert_eq!((told.start, told.count), (asked.start, asked.count));
        }
    }
}

#[tokio::test]
async fn a_shutdown_ends_a_subscription_which_then_resumes_elsewhere() {
    let (services, device) = (start(&database_url()).await, unique("shutdown"));
    send_baseline(&services, &device).await;
    let mut watch = Watch::start(&services, prefix(&device)).await.unwrap();
    services.begin_shutdown();
    let status = watch.until_quiet().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{}", status.message());
    assert!(status.get_details_retry_info().is_some());
    tokio::time::timeout(Duration::from_secs(20), services.ended()).await.expect("ended before its grace is over");
    let services = start(&database_url()).await;
    let expected = send(&services, &device, &[(now(), 50), (now() - 5 * MINUTE, 51)]).await;
    let request = WatchAnomaliesRequest { resume_token: watch.token, ..prefix(&device) };
    let mut resumed = Watch::start(&services, request).await.unwrap();
    resumed.until_quiet().await.unwrap();
    assert_eq!(resumed.told, expected);
}

#[tokio::test]
async fn a_database_that_goes_away_ends_a_subscription_and_nothing_is_lost() {
    let (direct, device) = (start(&database_url()).await, unique("away"));
    let proxy = Proxy::start(&database_url(), true).await;
    let services = start(&proxy.url(&database_url())).await;
    send_baseline(&direct, &device).await;
    let mut watch = Watch::start(&services, prefix(&device)).await.unwrap();
    proxy.set_open(false);
    let status = watch.until_quiet().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{}", status.message());
    let expected = send(&direct, &device, &[(now(), 50), (now() - 5 * MINUTE, 51)]).await;
    proxy.set_open(true);
    let mut resumed = loop {
        let request = WatchAnomaliesRequest { resume_token: watch.token.clone(), ..prefix(&device) };
        match Watch::start(&services, request).await {
            Ok(resumed) => break resumed,
            Err(status) => assert_eq!(status.code(), Code::Unavailable, "{}", status.message()),
        }
    };
    resumed.until_quiet().await.unwrap();
    assert_eq!(resumed.told, expected);
}

#[tokio::test]
async fn tokens_of_others_unknown_devices_and_one_subscription_too_many_are_refused() {
    let services = Services::start_query_with(&database_url(), |config| {
        config.watch_interval = Duration::from_millis(20);
        config.watch_subscriptions = 1.try_into().unwrap();
    })
    .await;
    wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
    let refused = async |request| services.query.clone().watch_anomalies(request).await.unwrap_err();
    let nobody = unique("nobody");
    let status = refused(WatchAnomaliesRequest { selectors: vec![selector(&nobody)], ..Default::default() }).await;
    assert!(status.code() == Code::NotFound && status.message().contains(&nobody), "{}", status.message());
    let watch = Watch::start(&services, prefix(&nobody)).await.unwrap();
    let status = refused(prefix(&nobody)).await;
    assert!(status.code() == Code::ResourceExhausted, "{}", status.message());
    assert!(status.message().contains("1 subscriptions") && status.get_details_retry_info().is_some());
    let resume_token = watch.token.clone();
    drop(watch);
    let other = WatchAnomaliesRequest { resume_token, threshold: 5.0, ..prefix(&nobody) };
    let status = loop {
        let status = refused(other.clone()).await;
        if status.code() != Code::ResourceExhausted {
            break status; // the place is free once the service has seen the client go
        }
    };
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("another subscription"), "{}", status.message());
}

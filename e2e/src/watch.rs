//! A subscription to anomalies, and the anomalies that it reported.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::proto::v1::{
    Batch, SeriesSelector, WatchAnomaliesRequest, WatchAnomaliesResponse, series_selector,
};
use shared::time;
use tonic::{Status, Streaming};

use crate::{OwnDatabase, Services, batch, now, point, series, wait_until_serving};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;
const PATIENCE: Duration = Duration::from_secs(60);

/// Device, time and value of reported anomalies.
pub type Told = BTreeSet<(String, i64, i64)>;

/// Starts services on an address that look for anomalies almost continuously.
pub async fn start_watchful(url: &str) -> Services {
    let services =
        Services::start_query_with(url, |config| config.watch_interval = Duration::from_millis(20))
            .await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
    services
}

/// Sends three hours of ordinary values, up to the start of the look-back window. In a
/// baseline of this size, test anomalies that become part of it do not hide one another.
pub async fn send_baseline(database: &OwnDatabase, services: &Services, device: &str) {
    let end = now() - 11 * MINUTE;
    let times: Vec<i64> = (1..1_600).map(|at| end - at * 7 * SECOND).collect();
    let values = (1..1_600).map(|at| 20.0 + f64::from(at % 7) / 4.0).collect();
    services
        .send(Batch { series: vec![series(device, times, values)], ..Default::default() })
        .await
        .unwrap();
    database.sql().await.refresh(end - 2 * DAY, end + 5 * MINUTE).await;
}

/// Sends whole degrees. Returns them as a subscription reports them.
pub async fn send_whole(services: &Services, device: &str, points: &[(i64, i64)]) -> Told {
    let rows = points.iter().map(|&(time, value)| point(device, time, value as f64)).collect();
    assert_eq!(services.send(batch(rows)).await.unwrap().accepted_count, points.len() as u64);
    points.iter().map(|&(time, value)| (device.to_owned(), time, value)).collect()
}

/// Returns a request for the temperature of all devices whose id has this prefix.
#[must_use]
pub fn watch_prefix(device_id_prefix: &str) -> WatchAnomaliesRequest {
    let device = Some(series_selector::Device::DeviceIdPrefix(device_id_prefix.to_owned()));
    let selectors = vec![SeriesSelector { device, metric_name: "temperature".to_owned() }];
    WatchAnomaliesRequest { selectors, ..Default::default() }
}

/// A subscription and the anomalies that it reported.
pub struct Watch {
    messages: Streaming<WatchAnomaliesResponse>,
    /// All reported anomalies.
    pub told: Told,
    /// Resume token of the last message.
    pub token: String,
}

impl Watch {
    /// Subscribes and waits for the first message. From then on, all new points are watched.
    pub async fn start(
        services: &Services,
        request: WatchAnomaliesRequest,
    ) -> Result<Self, Status> {
        let messages = services.query.clone().watch_anomalies(request).await?.into_inner();
        let mut watch = Self { messages, told: Told::new(), token: String::new() };
        let first = watch.next().await?;
        assert!(first.series.is_none() && first.anomalies.is_empty());
        Ok(watch)
    }

    /// Returns the next message. Collects its anomalies and its token.
    pub async fn next(&mut self) -> Result<WatchAnomaliesResponse, Status> {
        let message = tokio::time::timeout(PATIENCE, self.messages.message())
            .await
            .expect("no message in time")?;
        let message = message.expect("the stream ended");
        for anomaly in &message.anomalies {
            let device = message.series.as_ref().expect("a series").device_id.clone();
            let found = (
                device,
                time::from_timestamp(&anomaly.timestamp.unwrap()).unwrap(),
                whole(anomaly.value),
            );
            assert!(self.told.insert(found.clone()), "reported twice: {found:?}");
        }
        self.token.clone_from(&message.resume_token);
        Ok(message)
    }

    /// Reads messages until two in a row have no anomalies. By then, several sweeps found nothing
    /// new.
    pub async fn until_quiet(&mut self) -> Result<(), Status> {
        let quiet = async {
            let mut quiet = 0;
            while quiet < 2 {
                quiet = if self.next().await?.anomalies.is_empty() { quiet + 1 } else { 0 };
            }
            Ok(())
        };
        tokio::time::timeout(PATIENCE, quiet).await.expect("anomalies are still being reported")
    }
}

#[allow(clippy::cast_possible_truncation)] // whole degrees
fn whole(value: f64) -> i64 {
    value as i64
}

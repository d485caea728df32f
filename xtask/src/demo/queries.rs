//! Queries query-service: raw points, averages and anomalies.

use std::collections::BTreeSet;

use anyhow::Context as _;
use shared::proto::v1::query_aggregated_response::Frame as AggregatedFrame;
use shared::proto::v1::query_range_response::Frame as RangeFrame;
use shared::proto::v1::{
    Anomaly, BucketsFrame, DetectAnomaliesRequest, Granularity, PointsFrame,
    QueryAggregatedRequest, QueryHeader, QueryRangeRequest, SeriesKey, SeriesSelector,
    series_selector,
};
use shared::time;
use tonic::transport::Channel;

use super::services::query_client;
use super::simulate::{Fleet, InjectedFault};
use super::weather::Weather;

/// The results of all queries of the demo.
pub(super) struct QueryResults {
    /// The first device of the fleet.
    pub(super) device_id: String,
    /// Temperatures of the first device.
    pub(super) raw: PointsFrame,
    pub(super) minutes: (QueryHeader, BucketsFrame),
    pub(super) hours: (QueryHeader, BucketsFrame),
    /// Temperatures of the station `weather-jfk` by day.
    pub(super) weather: BucketsFrame,
    /// By how many days the weather readings were moved to the present.
    pub(super) weather_moved_days: i64,
    /// The injected faults that were detected.
    pub(super) found: BTreeSet<InjectedFault>,
    /// Number of anomalies that were not injected, in the series with a fault.
    pub(super) other_anomalies: usize,
    /// One of the detected faults.
    pub(super) example: Option<(InjectedFault, Anomaly)>,
}

impl QueryResults {
    /// Runs all queries.
    pub(super) async fn fetch(
        query: &Channel,
        fleet: &Fleet,
        weather: &Weather,
    ) -> anyhow::Result<Self> {
        let device_id = fleet.device_id(0);
        let interval = (fleet.start, fleet.end);
        let mut results = Self {
            raw: raw(query, &device_id, interval).await?,
            minutes: buckets(query, &device_id, Granularity::Minute, interval).await?,
            hours: buckets(query, &device_id, Granularity::Hour, interval).await?,
            weather: buckets(query, "weather-jfk", Granularity::Day, (weather.first(), fleet.end))
                .await?
                .1,
            weather_moved_days: weather.moved_days,
            device_id,
            found: BTreeSet::new(),
            other_anomalies: 0,
            example: None,
        };
        for fault in &fleet.faults {
            results.detect(query, fleet, fault).await?;
        }
        Ok(results)
    }

    /// Detects the anomalies of the last hour in the series of a fault.
    async fn detect(
        &mut self,
        query: &Channel,
        fleet: &Fleet,
        fault: &InjectedFault,
    ) -> anyhow::Result<()> {
        let (start, end) = fleet.window();
        let request = DetectAnomaliesRequest {
            series: Some(SeriesKey {
                device_id: fault.device_id.clone(),
                metric_name: fault.metric_name.to_owned(),
            }),
            start: Some(time::to_timestamp(start)),
            end: Some(time::to_timestamp(end)),
            ..Default::default()
        };
        for anomaly in query_client(query).detect_anomalies(request).await?.into_inner().anomalies {
            if anomaly.timestamp == Some(time::to_timestamp(fault.timestamp)) {
                self.found.insert(fault.clone());
                self.example = Some((fault.clone(), anomaly));
            } else {
                self.other_anomalies += 1;
            }
        }
        Ok(())
    }
}

/// Selects the temperature of a device.
fn selectors(device_id: &str) -> Vec<SeriesSelector> {
    let device = Some(series_selector::Device::DeviceId(device_id.to_owned()));
    vec![SeriesSelector { device, metric_name: "temperature".to_owned() }]
}

/// Returns the raw points of a device's temperature.
async fn raw(
    query: &Channel,
    device_id: &str,
    (start, end): (i64, i64),
) -> anyhow::Result<PointsFrame> {
    let request = QueryRangeRequest {
        selectors: selectors(device_id),
        start: Some(time::to_timestamp(start)),
        end: Some(time::to_timestamp(end)),
        max_points: 0,
    };
    let mut frames = query_client(query).query_range(request).await?.into_inner();
    let mut all = PointsFrame::default();
    let mut complete = false;
    while let Some(response) = frames.message().await? {
        match response.frame.context("query-service sent an empty frame")? {
            RangeFrame::Header(_) => {}
            RangeFrame::Points(points) => {
                all.timestamps_us.extend(points.timestamps_us);
                all.values.extend(points.values);
            }
            RangeFrame::Footer(_) => complete = true,
        }
    }
    anyhow::ensure!(complete, "query-service ended the stream without a footer");
    Ok(all)
}

/// Returns the header and the buckets of a device's temperature.
async fn buckets(
    query: &Channel,
    device_id: &str,
    granularity: Granularity,
    (start, end): (i64, i64),
) -> anyhow::Result<(QueryHeader, BucketsFrame)> {
    let request = QueryAggregatedRequest {
        selectors: selectors(device_id),
        start: Some(time::to_timestamp(start)),
        end: Some(time::to_timestamp(end)),
        granularity: granularity as i32,
        ..Default::default()
    };
    let mut frames = query_client(query).query_aggregated(request).await?.into_inner();
    let mut header = None;
    let mut all = BucketsFrame::default();
    let mut complete = false;
    while let Some(response) = frames.message().await? {
        match response.frame.context("query-service sent an empty frame")? {
            AggregatedFrame::Header(frame) => header = Some(frame),
            AggregatedFrame::Buckets(buckets) => {
                all.bucket_starts_us.extend(buckets.bucket_starts_us);
                all.avg.extend(buckets.avg);
                all.min.extend(buckets.min);
                all.max.extend(buckets.max);
                all.count.extend(buckets.count);
            }
            AggregatedFrame::Footer(_) => complete = true,
        }
    }
    anyhow::ensure!(complete, "query-service ended the stream without a footer");
    Ok((header.context("query-service sent no header")?, all))
}

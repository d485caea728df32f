//! Queries query-service over one connection, and decodes whole answers.

use std::time::Instant;

use anyhow::Context as _;
use shared::proto::v1::query_aggregated_response::Frame as AggregatedFrame;
use shared::proto::v1::query_range_response::Frame as RangeFrame;
use shared::proto::v1::query_service_client::QueryServiceClient;
use shared::proto::v1::series_selector::Device;
use shared::proto::v1::{
    BucketsFrame, Combine, DetectAnomaliesRequest, GetLatestRequest, Granularity, PointsFrame,
    QueryAggregatedRequest, QueryRangeRequest, SeriesKey, SeriesSelector, Statistic,
};
use shared::time;
use tonic::transport::Channel;

use super::answer::{Answer, TimedAnswer};
use super::data::METRIC;
use super::question::{PlacedQuestion, Question};

/// Client of query-service.
#[derive(Clone)]
pub(super) struct ServiceClient(QueryServiceClient<Channel>);

impl ServiceClient {
    pub(super) fn new(channel: Channel) -> Self {
        Self(QueryServiceClient::new(channel))
    }

    pub(super) async fn query(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        match placed.question {
            Question::DayInMinutes => self.buckets(placed, Granularity::Minute).await,
            Question::MonthInHours => self.buckets(placed, Granularity::Hour).await,
            Question::Newest => self.newest(placed).await,
            Question::FleetAverage => self.fleet_average(placed).await,
            Question::Anomalies => self.anomalies(placed).await,
            Question::MillionPoints => self.points(placed).await,
        }
    }

    async fn buckets(
        &mut self,
        placed: &PlacedQuestion,
        granularity: Granularity,
    ) -> anyhow::Result<TimedAnswer> {
        let statistics = [Statistic::Avg, Statistic::Min, Statistic::Max];
        let request = QueryAggregatedRequest {
            statistics: statistics.map(|statistic| statistic as i32).to_vec(),
            ..aggregated(placed, Device::DeviceId(placed.device.clone()), granularity)
        };
        let (timed, frames) = self.aggregated(request).await?;
        let column =
            |of: fn(&BucketsFrame) -> &Vec<f64>| frames.iter().flat_map(of).copied().collect();
        let columns = vec![
            column(|frame| &frame.avg),
            column(|frame| &frame.min),
            column(|frame| &frame.max),
        ];
        Ok(TimedAnswer { answer: Answer { columns, ..timed.answer }, ..timed })
    }

    async fn fleet_average(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        let request = QueryAggregatedRequest {
            statistics: vec![Statistic::Avg as i32],
            combine: Combine::Devices as i32,
            ..aggregated(placed, Device::DeviceIdPrefix(placed.device.clone()), Granularity::Hour)
        };
        let (timed, frames) = self.aggregated(request).await?;
        let averages = frames.iter().flat_map(|frame| &frame.avg).copied().collect();
        Ok(TimedAnswer { answer: Answer { columns: vec![averages], ..timed.answer }, ..timed })
    }

    /// Returns the frames of an answer, and their times as an answer without columns.
    async fn aggregated(
        &mut self,
        request: QueryAggregatedRequest,
    ) -> anyhow::Result<(TimedAnswer, Vec<BucketsFrame>)> {
        let began = Instant::now();
        let mut stream = self.0.query_aggregated(request).await?.into_inner();
        let mut frames = Vec::new();
        let mut footer = None;
        while let Some(response) = stream.message().await? {
            match response.frame {
                Some(AggregatedFrame::Buckets(frame)) => frames.push(frame),
                Some(AggregatedFrame::Footer(frame)) => footer = Some(frame),
                Some(AggregatedFrame::Header(_)) | None => {}
            }
        }
        let elapsed = began.elapsed();
        footer.context("the answer has no footer")?;
        let times = frames.iter().flat_map(|frame| &frame.bucket_starts_us).copied().collect();
        Ok((TimedAnswer { elapsed, answer: Answer { times, ..Answer::default() } }, frames))
    }

    async fn newest(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        let series = |device_id| SeriesKey { device_id, metric_name: METRIC.to_owned() };
        let series = placed.fleet().into_iter().map(series).collect();
        let began = Instant::now();
        let request = GetLatestRequest { series, ..Default::default() };
        let points = self.0.get_latest(request).await?.into_inner().points;
        let elapsed = began.elapsed();
        let micros =
            |at: &Option<prost_types::Timestamp>| at.as_ref().and_then(time::from_timestamp);
        let times =
            points.iter().map(|point| micros(&point.timestamp).unwrap_or_default()).collect();
        let columns = vec![points.iter().map(|point| point.value).collect()];
        Ok(TimedAnswer { elapsed, answer: Answer { times, columns, scalars: Vec::new() } })
    }

    async fn anomalies(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        let request = DetectAnomaliesRequest {
            series: Some(SeriesKey {
                device_id: placed.device.clone(),
                metric_name: METRIC.to_owned(),
            }),
            start: Some(time::to_timestamp(placed.start)),
            end: Some(time::to_timestamp(placed.end)),
            ..Default::default()
        };
        let began = Instant::now();
        let answer = self.0.detect_anomalies(request).await?.into_inner();
        let elapsed = began.elapsed();
        let found = answer.anomalies;
        let micros =
            |at: &Option<prost_types::Timestamp>| at.as_ref().and_then(time::from_timestamp);
        let times =
            found.iter().map(|anomaly| micros(&anomaly.timestamp).unwrap_or_default()).collect();
        let columns = vec![found.iter().map(|anomaly| anomaly.value).collect()];
        let baseline = answer.baseline.context("the answer has no baseline")?;
        Ok(TimedAnswer {
            elapsed,
            answer: Answer { times, columns, scalars: vec![baseline.mean, baseline.stddev] },
        })
    }

    async fn points(&mut self, placed: &PlacedQuestion) -> anyhow::Result<TimedAnswer> {
        let request = QueryRangeRequest {
            selectors: vec![selector(Device::DeviceId(placed.device.clone()))],
            start: Some(time::to_timestamp(placed.start)),
            end: Some(time::to_timestamp(placed.end)),
            max_points: 0,
        };
        let began = Instant::now();
        let mut stream = self.0.query_range(request).await?.into_inner();
        let mut all = PointsFrame::default();
        let mut footer = None;
        while let Some(response) = stream.message().await? {
            match response.frame {
                Some(RangeFrame::Points(frame)) => {
                    all.timestamps_us.extend(frame.timestamps_us);
                    all.values.extend(frame.values);
                }
                Some(RangeFrame::Footer(frame)) => footer = Some(frame),
                Some(RangeFrame::Header(_)) | None => {}
            }
        }
        let elapsed = began.elapsed();
        footer.context("the answer has no footer")?;
        let answer =
            Answer { times: all.timestamps_us, columns: vec![all.values], scalars: Vec::new() };
        Ok(TimedAnswer { elapsed, answer })
    }
}

fn selector(device: Device) -> SeriesSelector {
    SeriesSelector { device: Some(device), metric_name: METRIC.to_owned() }
}

fn aggregated(
    placed: &PlacedQuestion,
    device: Device,
    granularity: Granularity,
) -> QueryAggregatedRequest {
    QueryAggregatedRequest {
        selectors: vec![selector(device)],
        start: Some(time::to_timestamp(placed.start)),
        end: Some(time::to_timestamp(placed.end)),
        granularity: granularity as i32,
        ..Default::default()
    }
}

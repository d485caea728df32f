//! Asks query-service: one connection, answers decoded whole.

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

use super::answer::{Answer, Timed};
use super::data::METRIC;
use super::question::{Asked, Question};

/// A client of query-service.
#[derive(Clone)]
pub(super) struct ServiceClient(QueryServiceClient<Channel>);

impl ServiceClient {
    pub(super) fn new(channel: Channel) -> Self {
        Self(QueryServiceClient::new(channel))
    }

    pub(super) async fn ask(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        match asked.question {
            Question::DayInMinutes => self.buckets(asked, Granularity::Minute).await,
            Question::MonthInHours => self.buckets(asked, Granularity::Hour).await,
            Question::Newest => self.newest(asked).await,
            Question::FleetAverage => self.fleet_average(asked).await,
            Question::Anomalies => self.anomalies(asked).await,
            Question::MillionPoints => self.points(asked).await,
        }
    }

    async fn buckets(&mut self, asked: &Asked, granularity: Granularity) -> anyhow::Result<Timed> {
        let statistics = [Statistic::Avg, Statistic::Min, Statistic::Max];
        let request = QueryAggregatedRequest {
            statistics: statistics.map(|statistic| statistic as i32).to_vec(),
            ..aggregated(asked, Device::DeviceId(asked.device.clone()), granularity)
        };
        let (timed, frames) = self.aggregated(request).await?;
        let column =
            |of: fn(&BucketsFrame) -> &Vec<f64>| frames.iter().flat_map(of).copied().collect();
        let columns = vec![
            column(|frame| &frame.avg),
            column(|frame| &frame.min),
            column(|frame| &frame.max),
        ];
        Ok(Timed { answer: Answer { columns, ..timed.answer }, ..timed })
    }

    async fn fleet_average(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        let request = QueryAggregatedRequest {
            statistics: vec![Statistic::Avg as i32],
            combine: Combine::Devices as i32,
            ..aggregated(asked, Device::DeviceIdPrefix(asked.device.clone()), Granularity::Hour)
        };
        let (timed, frames) = self.aggregated(request).await?;
        let averages = frames.iter().flat_map(|frame| &frame.avg).copied().collect();
        Ok(Timed { answer: Answer { columns: vec![averages], ..timed.answer }, ..timed })
    }

    /// Frames, and an answer with their times alone.
    async fn aggregated(
        &mut self,
        request: QueryAggregatedRequest,
    ) -> anyhow::Result<(Timed, Vec<BucketsFrame>)> {
        let began = Instant::now();
        let mut stream = self.0.query_aggregated(request).await?.into_inner();
        let (mut frames, mut footer) = (Vec::new(), None);
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
        Ok((Timed { elapsed, answer: Answer { times, ..Answer::default() } }, frames))
    }

    async fn newest(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        let series = |device_id| SeriesKey { device_id, metric_name: METRIC.to_owned() };
        let series = asked.fleet().into_iter().map(series).collect();
        let began = Instant::now();
        let request = GetLatestRequest { series, ..Default::default() };
        let points = self.0.get_latest(request).await?.into_inner().points;
        let elapsed = began.elapsed();
        let micros =
            |at: &Option<prost_types::Timestamp>| at.as_ref().and_then(time::from_timestamp);
        let times =
            points.iter().map(|point| micros(&point.timestamp).unwrap_or_default()).collect();
        let columns = vec![points.iter().map(|point| point.value).collect()];
        Ok(Timed { elapsed, answer: Answer { times, columns, scalars: Vec::new() } })
    }

    async fn anomalies(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        let request = DetectAnomaliesRequest {
            series: Some(SeriesKey {
                device_id: asked.device.clone(),
                metric_name: METRIC.to_owned(),
            }),
            start: Some(time::to_timestamp(asked.start)),
            end: Some(time::to_timestamp(asked.end)),
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
        Ok(Timed {
            elapsed,
            answer: Answer { times, columns, scalars: vec![baseline.mean, baseline.stddev] },
        })
    }

    async fn points(&mut self, asked: &Asked) -> anyhow::Result<Timed> {
        let request = QueryRangeRequest {
            selectors: vec![selector(Device::DeviceId(asked.device.clone()))],
            start: Some(time::to_timestamp(asked.start)),
            end: Some(time::to_timestamp(asked.end)),
            max_points: 0,
        };
        let began = Instant::now();
        let mut stream = self.0.query_range(request).await?.into_inner();
        let (mut all, mut footer) = (PointsFrame::default(), None);
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
        Ok(Timed { elapsed, answer })
    }
}

fn selector(device: Device) -> SeriesSelector {
    SeriesSelector { device: Some(device), metric_name: METRIC.to_owned() }
}

fn aggregated(asked: &Asked, device: Device, granularity: Granularity) -> QueryAggregatedRequest {
    QueryAggregatedRequest {
        selectors: vec![selector(device)],
        start: Some(time::to_timestamp(asked.start)),
        end: Some(time::to_timestamp(asked.end)),
        granularity: granularity as i32,
        ..Default::default()
    }
}

//! Averages are between the smallest and the largest value, however sums are rounded.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{OwnDatabase, Services, at, now, series, wait_until_serving};
use shared::granularity::Granularity;
use shared::proto::v1::{
    self, Batch, Combine, QueryAggregatedRequest, SeriesSelector, Statistic,
    query_aggregated_response, series_selector,
};
use shared::time;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

fn request(
    prefix: &str,
    (start, end): (i64, i64),
    granularity: v1::Granularity,
) -> QueryAggregatedRequest {
    let device = Some(series_selector::Device::DeviceIdPrefix(prefix.to_owned()));
    QueryAggregatedRequest {
        selectors: vec![SeriesSelector { device, metric_name: "temperature".to_owned() }],
        start: at(start),
        end: at(end),
        granularity: granularity as i32,
        statistics: vec![Statistic::Avg as i32],
        ..Default::default()
    }
}

async fn averages(services: &Services, request: QueryAggregatedRequest) -> Vec<f64> {
    let mut frames = services.query.clone().query_aggregated(request).await.unwrap().into_inner();
    let mut found = Vec::new();
    while let Some(response) = frames.message().await.unwrap() {
        if let Some(query_aggregated_response::Frame::Buckets(buckets)) = response.frame {
            assert!(
                buckets.min.is_empty() && buckets.max.is_empty(),
                "unrequested statistics are sent"
            );
            found.extend(buckets.avg);
        }
    }
    found
}

#[tokio::test]
async fn a_constant_has_itself_as_mean_at_every_level_live_and_materialised_and_of_many_devices() {
    let database = OwnDatabase::start().await;
    let services = Services::start_on(&database.url).await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    let prefix = "constant";
    let end = Granularity::Day.floor(now()) - 2 * DAY;
    let start = end - 26 * HOUR;
    let times: Vec<i64> = (0..26 * 60 * 7).map(|at| start + at * MINUTE / 7).collect();
    for device in 0..3 {
        let values = vec![0.1; times.len()];
        let columns = vec![series(&format!("{prefix}-{device}"), times.clone(), values)];
        services.send(Batch { series: columns, ..Default::default() }).await.unwrap();
    }
    for refreshed in [false, true] {
        if refreshed {
            database.sql().await.refresh(start - 2 * DAY, end).await;
        }
        let ask = |granularity| request(prefix, (start, end), granularity);
        let questions = [
            ask(v1::Granularity::Minute),
            ask(v1::Granularity::Hour),
            ask(v1::Granularity::Day),
            QueryAggregatedRequest {
                combine: Combine::Devices as i32,
                ..ask(v1::Granularity::Day)
            },
            QueryAggregatedRequest {
                bucket_width: Some(time::to_duration(7 * MINUTE)),
                ..ask(v1::Granularity::Raw)
            },
            QueryAggregatedRequest {
                bucket_width: Some(time::to_duration(97 * MINUTE)),
                ..ask(v1::Granularity::Auto)
            },
        ];
        for question in questions {
            let found = averages(&services, question.clone()).await;
            assert!(
                !found.is_empty() && found.iter().all(|&average| average == 0.1),
                "{question:?}: {found:?}"
            );
        }
    }
}

//! Buckets as frames.

use std::time::Instant;

use shared::granularity::Granularity;
use shared::proto::v1::{self, Statistic, query_aggregated_response::Frame};
use shared::time;

use super::{FRAME_ROWS, FrameSender, PAGE_ROWS, StreamEnd};
use crate::plan::Plan;
use crate::read_pool::ReadPool;
use crate::series::Series;
use crate::store::{self, Bucket};

/// One `QueryAggregated` on its way.
pub(crate) struct BucketStream {
    pub(crate) pool: ReadPool,
    pub(crate) plan: Plan,
    pub(crate) series: Vec<Series>,
    pub(crate) statistics: Vec<Statistic>,
    pub(crate) watermark: Option<i64>,
    pub(crate) began: Instant,
}

impl BucketStream {
    pub(crate) async fn run(self, frames: FrameSender<v1::QueryAggregatedResponse>) -> Result<(), StreamEnd> {
        send(&frames, Frame::Header(self.plan.header(self.watermark, self.series.len()))).await?;
        let mut row_count = 0;
        for series in &self.series {
            row_count += self.send_series(series, &frames).await?;
        }
        let duration = Some(time::to_duration(time::duration_to_micros(self.began.elapsed())));
        send(&frames, Frame::Footer(v1::QueryFooter { row_count, duration })).await
    }

    async fn send_series(
        &self,
        series: &Series,
        frames: &FrameSender<v1::QueryAggregatedResponse>,
    ) -> Result<u64, StreamEnd> {
        let mut row_count = 0;
        let mut next = Some((self.plan.start, PAGE_ROWS));
        while let Some((start, limit)) = next {
            let (granularity, end) = (self.plan.granularity, self.plan.end);
            let sql_limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut page = store::buckets(&self.pool, granularity, series.series_id, start, end, sql_limit).await?;
            next = cut_page(&mut page, limit, granularity);
            row_count += page.len() as u64;
            for rows in page.chunks(FRAME_ROWS) {
                send(frames, Frame::Buckets(frame(series, rows, &self.statistics))).await?;
            }
        }
        Ok(row_count)
    }
}

/// As for points, see `points::cut_page`; a rollup has each bucket once, so its pages need no cut.
fn cut_page(page: &mut Vec<Bucket>, limit: usize, granularity: Granularity) -> Option<(i64, usize)> {
    let last = page.last().filter(|_| page.len() == limit)?.start;
    if granularity != Granularity::Raw {
        return Some((last + 1, PAGE_ROWS));
    }
    page.truncate(page.partition_point(|bucket| bucket.start < last));
    Some((last, if page.is_empty() { limit * 2 } else { PAGE_ROWS }))
}

fn frame(series: &Series, rows: &[Bucket], statistics: &[Statistic]) -> v1::BucketsFrame {
    let mut frame = v1::BucketsFrame {
        series: Some(v1::SeriesKey { device_id: series.device_id.clone(), metric_name: series.metric_name.clone() }),
        selector_index: u32::try_from(series.selector_index).unwrap_or(u32::MAX),
        bucket_starts_us: rows.iter().map(|bucket| bucket.start).collect(),
        ..Default::default()
    };
    let column = |value: fn(&Bucket) -> f64| rows.iter().map(value).collect();
    for statistic in statistics {
        match statistic {
            Statistic::Avg => frame.avg = column(|bucket| bucket.sum / bucket.count as f64),
            Statistic::Max => frame.max = column(|bucket| bucket.max),
            Statistic::Min => frame.min = column(|bucket| bucket.min),
            Statistic::Sum => frame.sum = column(|bucket| bucket.sum),
            Statistic::Count => frame.count = rows.iter().map(|bucket| bucket.count).collect(),
            Statistic::First => frame.first = column(|bucket| bucket.first),
            Statistic::Last => frame.last = column(|bucket| bucket.last),
            Statistic::Stddev => frame.stddev = column(Bucket::stddev),
            Statistic::Rate | Statistic::Unspecified => {} // `validate` lets neither through
        }
    }
    frame
}

async fn send(frames: &FrameSender<v1::QueryAggregatedResponse>, frame: Frame) -> Result<(), StreamEnd> {
    frames.send(v1::QueryAggregatedResponse { frame: Some(frame) }).await
}

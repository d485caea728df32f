//! Raw points as frames.

use std::time::Instant;

use shared::proto::v1::{self, query_range_response::Frame};
use shared::time;

use super::{FRAME_ROWS, FrameSender, PAGE_ROWS, StreamEnd};
use crate::plan::Plan;
use crate::read_pool::ReadPool;
use crate::series::Series;
use crate::store::{self, Point};

/// One `QueryRange` on its way.
pub(crate) struct PointStream {
    pub(crate) pool: ReadPool,
    pub(crate) plan: Plan,
    pub(crate) series: Vec<Series>,
    pub(crate) began: Instant,
}

impl PointStream {
    pub(crate) async fn run(self, frames: FrameSender<v1::QueryRangeResponse>) -> Result<(), StreamEnd> {
        send(&frames, Frame::Header(self.plan.header(None, self.series.len()))).await?;
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
        frames: &FrameSender<v1::QueryRangeResponse>,
    ) -> Result<u64, StreamEnd> {
        let mut row_count = 0;
        let mut next = Some((self.plan.start, PAGE_ROWS));
        while let Some((start, limit)) = next {
            let sql_limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut page = store::points(&self.pool, series.series_id, start, self.plan.end, sql_limit).await?;
            next = cut_page(&mut page, limit);
            row_count += page.len() as u64;
            for rows in page.chunks(FRAME_ROWS) {
                send(frames, Frame::Points(frame(series, rows))).await?;
            }
        }
        Ok(row_count)
    }
}

/// Cuts a full page at its last timestamp, for the points of one timestamp may go on beyond it, and says where the next
/// page begins and how many rows it needs. A page of one timestamp alone is dropped and asked for again, larger.
fn cut_page(page: &mut Vec<Point>, limit: usize) -> Option<(i64, usize)> {
    let last = page.last().filter(|_| page.len() == limit)?.timestamp;
    page.truncate(page.partition_point(|point| point.timestamp < last));
    Some((last, if page.is_empty() { limit * 2 } else { PAGE_ROWS }))
}

fn frame(series: &Series, rows: &[Point]) -> v1::PointsFrame {
    v1::PointsFrame {
        series: Some(v1::SeriesKey { device_id: series.device_id.clone(), metric_name: series.metric_name.clone() }),
        timestamps_us: rows.iter().map(|point| point.timestamp).collect(),
        values: rows.iter().map(|point| point.value).collect(),
    }
}

async fn send(frames: &FrameSender<v1::QueryRangeResponse>, frame: Frame) -> Result<(), StreamEnd> {
    frames.send(v1::QueryRangeResponse { frame: Some(frame) }).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(timestamps: &[i64]) -> Vec<Point> {
        timestamps.iter().map(|&timestamp| Point { timestamp, value: 0.0 }).collect()
    }

    #[test]
    fn points_of_one_timestamp_are_never_torn_apart_by_a_page() {
        let mut full = page(&[1, 2, 3, 3]);
        assert_eq!(cut_page(&mut full, 4), Some((3, PAGE_ROWS)));
        assert_eq!(full, page(&[1, 2]));
        let mut one = page(&[3, 3, 3]);
        assert_eq!(cut_page(&mut one, 3), Some((3, 6)));
        assert!(one.is_empty());
        let mut last = page(&[3, 3, 3]);
        assert_eq!(cut_page(&mut last, 6), None);
        assert_eq!(last.len(), 3);
    }
}

//! Streams the answer of `QueryRange`. The next page is read while the previous one is sent.

use std::ops::Range;
use std::time::Instant;

use shared::proto::v1::{self, query_range_response::Frame};
use shared::time;

use super::cursor::{Cursor, MAX_POINTS_PER_TIMESTAMP};
use super::{FRAME_ROWS, FrameSender, StreamEnd};
use crate::columns::PointColumns;
use crate::error::QueryError;
use crate::lttb::Downsampler;
use crate::plan::Plan;
use crate::read_pool::ReadPool;
use crate::series::Series;
use crate::{raw_points, store};

/// The maximum number of points in one downsampling bucket: two buckets are in memory.
const MAX_POINTS_PER_BUCKET: usize = 1_000_000;

/// A `QueryRange` call whose answer is streamed.
pub(crate) struct PointStream {
    pub(crate) pool: ReadPool,
    pub(crate) plan: Plan,
    pub(crate) series: Vec<Series>,
    pub(crate) max_points: Option<usize>,
    pub(crate) began: Instant,
}

/// A page of points that was read.
struct PointPage {
    /// The position in the series list of the series at position 0 of `points`.
    first: usize,
    points: PointColumns,
    /// The position of the series that continues on the next page.
    unfinished: Option<usize>,
    /// Whether another page follows.
    has_more: bool,
}

/// The state of the answer while it is sent.
struct PointOutput<'a> {
    stream: &'a PointStream,
    frames: &'a FrameSender<v1::QueryRangeResponse>,
    row_count: u64,
    /// The series that is being downsampled, by its position. `None` if all points are sent.
    downsampler: Option<(usize, Downsampler)>,
}

impl PointStream {
    pub(crate) async fn run(
        self,
        frames: FrameSender<v1::QueryRangeResponse>,
    ) -> Result<(), StreamEnd> {
        send(&frames, Frame::Header(self.plan.header(None, self.series.len()))).await?;
        let mut output =
            PointOutput { stream: &self, frames: &frames, row_count: 0, downsampler: None };
        let mut cursor = Cursor::new(self.series.len());
        let mut page = self.read(&mut cursor).await?;
        while let Some(read) = page {
            let next = async { self.read(&mut cursor).await.map_err(StreamEnd::from) };
            ((), page) = tokio::try_join!(output.send(&read), next)?;
        }
        let duration = Some(time::to_duration(time::duration_to_micros(self.began.elapsed())));
        send(&frames, Frame::Footer(v1::QueryFooter { row_count: output.row_count, duration }))
            .await?;
        frames.flush().await
    }

    async fn read(&self, cursor: &mut Cursor) -> Result<Option<PointPage>, QueryError> {
        let Some(page) = cursor.page() else { return Ok(None) };
        if page.limit > MAX_POINTS_PER_TIMESTAMP {
            let description = format!(
                "match a series with more than {MAX_POINTS_PER_TIMESTAMP} points of one timestamp, \
                 which is the limit"
            );
            return Err(QueryError::invalid("selectors", description));
        }
        let interval = (page.resume.unwrap_or(self.plan.start), self.plan.end);
        let ids: Vec<i32> =
            self.series[page.series.clone()].iter().map(|series| series.series_id).collect();
        let mut points = match ids[..] {
            [series_id] => raw_points::of_one(&self.pool, series_id, interval, page.limit).await?,
            _ => raw_points::of_many(&self.pool, &ids, interval, page.limit).await?,
        };
        let unfinished = cursor.advance(&page, &mut points);
        Ok(Some(PointPage {
            first: page.series.start,
            points,
            unfinished,
            has_more: cursor.page().is_some(),
        }))
    }
}

impl PointOutput<'_> {
    async fn send(&mut self, page: &PointPage) -> Result<(), StreamEnd> {
        for (position, rows) in page.points.runs() {
            let position = page.first + position;
            match self.stream.max_points {
                None => self.send_rows(position, &page.points, rows).await?,
                Some(most) => {
                    let count = rows.len();
                    self.begin_downsampling(
                        position,
                        count,
                        most,
                        page.unfinished == Some(position),
                    )
                    .await?;
                    self.downsample(position, &page.points, rows).await?;
                }
            }
            if page.unfinished != Some(position) {
                self.end_downsampling().await?;
            }
        }
        // The remaining points of an unfinished series may have been dropped meanwhile.
        if page.unfinished.is_none() {
            self.end_downsampling().await?;
        }
        if page.has_more { self.frames.flush_rows().await } else { Ok(()) }
    }

    /// Begins to downsample a series, unless that has begun. The number of its points is known if
    /// the series ends on this page; otherwise the database counts them.
    async fn begin_downsampling(
        &mut self,
        position: usize,
        rows: usize,
        max_points: usize,
        has_more: bool,
    ) -> Result<(), QueryError> {
        if self.downsampler.is_some() {
            return Ok(());
        }
        let plan = &self.stream.plan;
        let count = if has_more {
            let series_id = self.stream.series[position].series_id;
            let count = store::count(&self.stream.pool, series_id, (plan.start, plan.end)).await?;
            usize::try_from(count).unwrap_or(usize::MAX)
        } else {
            rows
        };
        if count / (max_points - 2) > MAX_POINTS_PER_BUCKET {
            let description = format!(
                "is {max_points} for a series of {count} points; each returned point can represent \
                 at most {MAX_POINTS_PER_BUCKET}: use a larger max_points, a shorter interval, \
                 or QueryAggregated"
            );
            return Err(QueryError::invalid("max_points", description));
        }
        self.downsampler = Some((position, Downsampler::new(count, max_points)));
        Ok(())
    }

    async fn downsample(
        &mut self,
        position: usize,
        points: &PointColumns,
        rows: Range<usize>,
    ) -> Result<(), StreamEnd> {
        for rows in frame_ranges(rows) {
            let Some((_, downsampler)) = &mut self.downsampler else { return Ok(()) };
            for (&timestamp, &value) in
                points.timestamps[rows.clone()].iter().zip(&points.values[rows])
            {
                downsampler.take(timestamp, value);
            }
            if downsampler.chosen_len() >= FRAME_ROWS {
                let chosen = downsampler.take_chosen();
                self.send_rows(position, &chosen, 0..chosen.len()).await?;
            }
        }
        Ok(())
    }

    async fn end_downsampling(&mut self) -> Result<(), StreamEnd> {
        let Some((position, downsampler)) = self.downsampler.take() else { return Ok(()) };
        let chosen = downsampler.finish();
        self.send_rows(position, &chosen, 0..chosen.len()).await
    }

    async fn send_rows(
        &mut self,
        position: usize,
        points: &PointColumns,
        rows: Range<usize>,
    ) -> Result<(), StreamEnd> {
        self.row_count += rows.len() as u64;
        let series = &self.stream.series[position];
        for rows in frame_ranges(rows) {
            let frame = v1::PointsFrame {
                series: Some(v1::SeriesKey {
                    device_id: series.device_id.clone(),
                    metric_name: series.metric_name.clone(),
                }),
                timestamps_us: points.timestamps[rows.clone()].to_vec(),
                values: points.values[rows].to_vec(),
            };
            send(self.frames, Frame::Points(frame)).await?;
        }
        Ok(())
    }
}

/// Divides rows into ranges that each fit into a frame.
fn frame_ranges(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = rows.end;
    rows.step_by(FRAME_ROWS).map(move |start| start..end.min(start + FRAME_ROWS))
}

async fn send(frames: &FrameSender<v1::QueryRangeResponse>, frame: Frame) -> Result<(), StreamEnd> {
    frames.send(v1::QueryRangeResponse { frame: Some(frame) }).await
}

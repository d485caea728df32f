//! Streams the answer of `QueryAggregated`.

use std::collections::HashMap;
use std::time::Instant;

use shared::proto::v1::{self, Statistic, query_aggregated_response::Frame};
use shared::time;

use super::bucket_frame::FrameBuilder;
use super::gaps::{BucketRow, Gaps, RowOrGap};
use super::pages::{self, ReadRange};
use super::{FRAME_ROWS, FrameSender, PAGE_ROWS, StreamEnd};
use crate::plan::{Grid, Plan};
use crate::read_pool::ReadPool;
use crate::relations::Relations;
use crate::series::SeriesAnswer;
use crate::store::{self, Bucket, BucketRead, SourceInterval};
use crate::validate::GapFill;

/// The maximum number of series that one statement reads.
const SERIES_PER_STATEMENT: usize = 1_000;

type BucketSender = FrameSender<v1::QueryAggregatedResponse>;

/// A `QueryAggregated` call whose answer is streamed.
pub(crate) struct BucketStream {
    pub(crate) pool: ReadPool,
    pub(crate) relations: Relations,
    pub(crate) plan: Plan,
    pub(crate) answers: Vec<SeriesAnswer>,
    pub(crate) series_count: usize,
    pub(crate) statistics: Vec<Statistic>,
    pub(crate) gap_fill: GapFill,
    pub(crate) combine_devices: bool,
    pub(crate) watermark: Option<i64>,
    pub(crate) began: Instant,
}

/// The state of one answer while it is sent: its gaps and the frame being filled.
struct BucketOutput<'a> {
    gaps: Gaps<'a>,
    frame: FrameBuilder<'a>,
    row_count: u64,
}

impl BucketStream {
    pub(crate) async fn run(self, frames: BucketSender) -> Result<(), StreamEnd> {
        send(&frames, Frame::Header(self.plan.header(self.watermark, self.series_count))).await?;
        let points = self.plan.segments.iter().any(|segment| segment.grid == Grid::Points);
        let row_count = if points {
            self.send_points(&frames).await?
        } else {
            self.send_buckets(&frames).await?
        };
        let duration = Some(time::to_duration(time::duration_to_micros(self.began.elapsed())));
        send(&frames, Frame::Footer(v1::QueryFooter { row_count, duration })).await?;
        frames.flush().await
    }

    async fn send_buckets(&self, frames: &BucketSender) -> Result<u64, StreamEnd> {
        let answers_per_page =
            if self.combine_devices { 1 } else { pages::answers_per_page(&self.plan, PAGE_ROWS) };
        let extent = self.extent().await?;
        let mut row_count = 0;
        for answers in self.answers.chunks(answers_per_page.min(SERIES_PER_STATEMENT)) {
            frames.flush_rows().await?;
            let mut outputs = self.begin(answers).await?;
            for ranges in pages::groups(&self.plan, extent, PAGE_ROWS) {
                self.send_ranges(answers, &mut outputs, &ranges, frames).await?;
            }
            for mut output in outputs {
                row_count += output.finish(frames).await?;
            }
        }
        Ok(row_count)
    }

    /// Returns the interval outside of which nothing needs to be read. Only a long interval costs a
    /// statement. If gaps are filled, there are buckets everywhere.
    async fn extent(&self) -> Result<(i64, i64), StreamEnd> {
        let everywhere = (self.plan.start, self.plan.end);
        if self.gap_fill != GapFill::None || self.plan.bucket_count() <= PAGE_ROWS as u64 {
            return Ok(everywhere);
        }
        let (start, end) =
            store::extent(&self.pool).await?.unwrap_or((self.plan.start, self.plan.start));
        Ok((start.clamp(everywhere.0, everywhere.1), end.clamp(everywhere.0, everywhere.1)))
    }

    /// Begins some answers. If gaps are filled with the last value, reads the rows before the
    /// interval.
    async fn begin<'a>(
        &'a self,
        answers: &'a [SeriesAnswer],
    ) -> Result<Vec<BucketOutput<'a>>, StreamEnd> {
        let output = |answer| BucketOutput {
            gaps: Gaps::new(self.gap_fill),
            frame: FrameBuilder::new(answer, &self.statistics),
            row_count: 0,
        };
        let mut outputs: Vec<BucketOutput<'a>> = answers.iter().map(output).collect();
        let before = self.plan.read_from(self.gap_fill);
        if let Some(segment) = self.plan.segments.first().filter(|segment| before < segment.start) {
            let range = ReadRange { segment, start: before, end: segment.start };
            let rows = self.read(answers, &[range]).await?;
            for (answer, output) in answers.iter().zip(&mut outputs) {
                if let Some(row) = rows.get(&self.key(answer)).and_then(|rows| rows.last()) {
                    output.gaps.look_back(*row);
                }
            }
        }
        Ok(outputs)
    }

    async fn send_ranges<'a>(
        &'a self,
        answers: &'a [SeriesAnswer],
        outputs: &mut [BucketOutput<'a>],
        ranges: &[ReadRange<'a>],
        frames: &BucketSender,
    ) -> Result<(), StreamEnd> {
        frames.flush_rows().await?;
        let rows = self.read(answers, ranges).await?;
        for (answer, output) in answers.iter().zip(outputs) {
            let mut rows = rows.get(&self.key(answer)).map_or(&[][..], Vec::as_slice);
            for range in ranges {
                let (of_range, later) =
                    rows.split_at(rows.partition_point(|row| row.start < range.end));
                let rows_and_gaps = output.gaps.rows_and_gaps(
                    range.segment,
                    (range.start, range.end),
                    of_range.to_vec(),
                );
                output.send(rows_and_gaps, frames).await?;
                rows = later;
            }
            if answers.len() > 1 {
                output.finish(frames).await?; // an answer's frames precede those of the next
            }
        }
        Ok(())
    }

    /// Reads the rows of some ranges. Returns them by answer, in time order.
    async fn read(
        &self,
        answers: &[SeriesAnswer],
        ranges: &[ReadRange<'_>],
    ) -> Result<HashMap<i32, Vec<BucketRow>>, StreamEnd> {
        let mut series: Vec<i32> =
            answers.iter().flat_map(|answer| &answer.series).copied().collect();
        series.sort_unstable(); // in index order
        series.dedup(); // several selectors may match the same series
        let mut rows: HashMap<i32, Vec<BucketRow>> = HashMap::new();
        for &ReadRange { segment, start, end } in ranges.iter().filter(|_| !series.is_empty()) {
            let series = &series[..];
            let statistics = &self.statistics[..];
            let combined = self.combine_devices;
            let mut buckets = Vec::new();
            for SourceInterval { source, start, end } in
                self.relations.parts(&self.pool, segment.source, (start, end)).await?
            {
                let grid = &segment.grid;
                let read =
                    BucketRead { series, combined, grid, source: &source, start, end, statistics };
                buckets.append(&mut store::buckets(&self.pool, &read).await?);
            }
            let buckets = store::combine_parts(buckets);
            for of_series in buckets.chunk_by(|one, other| one.series_id == other.series_id) {
                let lasts = |bucket: &Bucket| segment.grid.step(bucket.start, 1) - bucket.start;
                let of_series_rows =
                    of_series.iter().map(|bucket| BucketRow::of(bucket, lasts(bucket)));
                rows.entry(of_series[0].series_id).or_default().extend(of_series_rows);
            }
        }
        Ok(rows)
    }

    /// Returns the series id that the rows of an answer have; 0 for combined devices.
    fn key(&self, answer: &SeriesAnswer) -> i32 {
        if self.combine_devices { 0 } else { answer.series.first().copied().unwrap_or_default() }
    }

    /// Sends each point as a bucket of its own. Reads several series with one statement if their
    /// points fit a page.
    async fn send_points(&self, frames: &BucketSender) -> Result<u64, StreamEnd> {
        let mut row_count = 0;
        for answers in self.answers.chunks(SERIES_PER_STATEMENT) {
            frames.flush_rows().await?;
            let (buckets, more) = self.page_of_points(answers, self.plan.start, PAGE_ROWS).await?;
            let mut by_series: HashMap<i32, Vec<Bucket>> = HashMap::new();
            if more.is_none() {
                buckets
                    .into_iter()
                    .for_each(|bucket| by_series.entry(bucket.series_id).or_default().push(bucket));
            }
            for answer in answers {
                let mut output = BucketOutput {
                    gaps: Gaps::new(GapFill::None),
                    frame: FrameBuilder::new(answer, &self.statistics),
                    row_count: 0,
                };
                match more {
                    None => {
                        let buckets =
                            by_series.get(&self.key(answer)).map_or(&[][..], Vec::as_slice);
                        output.send(as_rows(buckets), frames).await?;
                    }
                    Some(_) => self.send_points_of(answer, &mut output, frames).await?,
                }
                row_count += output.finish(frames).await?;
            }
        }
        Ok(row_count)
    }

    async fn send_points_of(
        &self,
        answer: &SeriesAnswer,
        output: &mut BucketOutput<'_>,
        frames: &BucketSender,
    ) -> Result<(), StreamEnd> {
        let mut next = Some((self.plan.start, PAGE_ROWS));
        while let Some((start, limit)) = next {
            frames.flush_rows().await?;
            let (buckets, more) =
                self.page_of_points(std::slice::from_ref(answer), start, limit).await?;
            output.send(as_rows(&buckets), frames).await?;
            next = more;
        }
        Ok(())
    }

    /// Reads a page of points from a time on. If there are more, the page ends between two
    /// different timestamps. Then the result also has the start of the next page and the number of
    /// rows to read.
    async fn page_of_points(
        &self,
        answers: &[SeriesAnswer],
        start: i64,
        limit: usize,
    ) -> Result<(Vec<Bucket>, Option<(i64, usize)>), StreamEnd> {
        let series: Vec<i32> = answers.iter().flat_map(|answer| &answer.series).copied().collect();
        let sql_limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut page =
            store::points_as_buckets(&self.pool, &series, (start, self.plan.end), sql_limit)
                .await?;
        let Some(last) = page.last().filter(|_| page.len() == limit).map(|bucket| bucket.start)
        else {
            return Ok((page, None));
        };
        page.truncate(page.partition_point(|bucket| bucket.start < last));
        let rows = if page.is_empty() { limit * 2 } else { PAGE_ROWS };
        Ok((page, Some((last, rows))))
    }
}

fn as_rows(buckets: &[Bucket]) -> Vec<RowOrGap<'static>> {
    buckets.iter().map(|bucket| RowOrGap::Row(BucketRow::of(bucket, 0))).collect()
}

impl<'a> BucketOutput<'a> {
    async fn send(
        &mut self,
        rows_and_gaps: Vec<RowOrGap<'a>>,
        frames: &BucketSender,
    ) -> Result<(), StreamEnd> {
        for row_or_gap in rows_and_gaps {
            match row_or_gap {
                RowOrGap::Row(row) => self.push(&row, frames).await?,
                RowOrGap::Gap(gap) => {
                    for row in gap.rows() {
                        self.push(&row, frames).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn push(&mut self, row: &BucketRow, frames: &BucketSender) -> Result<(), StreamEnd> {
        self.frame.push(row);
        if self.frame.rows() == FRAME_ROWS { self.flush(frames).await } else { Ok(()) }
    }

    async fn flush(&mut self, frames: &BucketSender) -> Result<(), StreamEnd> {
        self.row_count += self.frame.rows() as u64;
        send(frames, Frame::Buckets(self.frame.take())).await
    }

    /// Sends the remaining rows. Returns the number of rows of the answer.
    async fn finish(&mut self, frames: &BucketSender) -> Result<u64, StreamEnd> {
        let rows_and_gaps = self.gaps.end();
        self.send(rows_and_gaps, frames).await?;
        if self.frame.rows() > 0 {
            self.flush(frames).await?;
        }
        Ok(self.row_count)
    }
}

async fn send(frames: &BucketSender, frame: Frame) -> Result<(), StreamEnd> {
    frames.send(v1::QueryAggregatedResponse { frame: Some(frame) }).await
}

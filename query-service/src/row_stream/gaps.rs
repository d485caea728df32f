//! Finds buckets without points and fills them. Pure. A gap is stored as a range until it is sent.

use crate::plan::{Grid, Segment};
use crate::validate::GapFill;

/// The number of statistics of a bucket, apart from its count.
pub(super) const SLOTS: usize = 8;

/// A bucket in the form in which it is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct BucketRow {
    /// Microseconds since the Unix epoch.
    pub(super) start: i64,
    pub(super) count: u64,
    pub(super) values: [f64; SLOTS],
}

/// A row, or a gap between rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum RowOrGap<'a> {
    Row(BucketRow),
    Gap(Gap<'a>),
}

/// Neighbouring buckets without points, with the rows that they are filled from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gap<'a> {
    grid: &'a Grid,
    start: i64,
    end: i64,
    left: Option<BucketRow>,
    right: Option<BucketRow>,
}

impl<'a> Gap<'a> {
    /// Returns the filled buckets of the gap. Values are interpolated between both neighbours, or
    /// copied from the left one, or NaN if there is neither.
    pub(super) fn rows(self) -> impl Iterator<Item = BucketRow> + 'a {
        let value = move |slot: usize, start: i64| match (self.left, self.right) {
            (Some(left), Some(right)) => {
                between((left.start, left.values[slot]), (right.start, right.values[slot]), start)
            }
            (Some(left), None) => left.values[slot],
            _ => f64::NAN,
        };
        let row = move |start| BucketRow {
            start,
            count: 0,
            values: std::array::from_fn(|slot| value(slot, start)),
        };
        self.grid.starts(self.start, self.end).map(row)
    }
}

/// Returns the value at `x` on the line through two points. The weights add up to one, so that
/// large values do not overflow.
fn between((x0, y0): (i64, f64), (x1, y1): (i64, f64), x: i64) -> f64 {
    let share = (x - x0) as f64 / (x1 - x0) as f64;
    y0 * (1.0 - share) + y1 * share
}

/// The gaps of one answer, found range by range in time order.
pub(super) struct Gaps<'a> {
    fill: GapFill,
    /// The last row so far.
    left: Option<BucketRow>,
    /// Gaps whose right neighbour is not known yet: at most one for each range.
    waiting: Vec<Gap<'a>>,
}

impl<'a> Gaps<'a> {
    pub(super) fn new(fill: GapFill) -> Self {
        Self { fill, left: None, waiting: Vec::new() }
    }

    /// Sets the row before the interval, from which the last value is carried forward.
    pub(super) fn look_back(&mut self, row: BucketRow) {
        self.left = Some(row);
    }

    /// Returns the rows and gaps to send for the range [start, end) of a segment. `rows` are its
    /// rows in time order.
    pub(super) fn rows_and_gaps(
        &mut self,
        segment: &'a Segment,
        (start, end): (i64, i64),
        rows: Vec<BucketRow>,
    ) -> Vec<RowOrGap<'a>> {
        if self.fill == GapFill::None {
            return rows.into_iter().map(RowOrGap::Row).collect();
        }
        let mut rows_and_gaps = Vec::with_capacity(rows.len() + 1);
        let mut next = start;
        for row in rows {
            self.note(segment, next, row.start);
            self.release(Some(row), &mut rows_and_gaps);
            rows_and_gaps.push(RowOrGap::Row(row));
            self.left = Some(row);
            next = segment.grid.step(row.start, 1);
        }
        self.note(segment, next, end);
        if self.fill != GapFill::Linear || self.left.is_none() {
            self.release(None, &mut rows_and_gaps);
        }
        rows_and_gaps
    }

    /// Returns the gaps that are left to send after the last range.
    pub(super) fn end(&mut self) -> Vec<RowOrGap<'a>> {
        let mut rows_and_gaps = Vec::new();
        self.release(None, &mut rows_and_gaps);
        rows_and_gaps
    }

    fn note(&mut self, segment: &'a Segment, start: i64, end: i64) {
        if start < end {
            self.waiting.push(Gap { grid: &segment.grid, start, end, left: None, right: None });
        }
    }

    fn release(&mut self, right: Option<BucketRow>, rows_and_gaps: &mut Vec<RowOrGap<'a>>) {
        let (left, right) = match self.fill {
            GapFill::Last => (self.left, None),
            GapFill::Linear if right.is_some() && self.left.is_some() => (self.left, right),
            _ => (None, None),
        };
        rows_and_gaps
            .extend(self.waiting.drain(..).map(|gap| RowOrGap::Gap(Gap { left, right, ..gap })));
    }
}

#[cfg(test)]
mod tests {
    use shared::granularity::Granularity;

    use super::*;

    fn segment() -> Segment {
        Segment {
            source: Granularity::Minute,
            grid: Grid::Equal(60_000_000),
            start: 0,
            end: 600_000_000,
        }
    }

    fn row(minute: i64, value: f64) -> BucketRow {
        BucketRow { start: minute * 60_000_000, count: 1, values: [value; SLOTS] }
    }

    /// Returns minutes 0 to 9, with points in 2 and 6, in two ranges that meet at 4.
    fn filled(fill: GapFill, before: Option<BucketRow>) -> Vec<(i64, u64, f64)> {
        let segment = segment();
        let mut gaps = Gaps::new(fill);
        if let Some(row) = before {
            gaps.look_back(row);
        }
        let mut rows_and_gaps = gaps.rows_and_gaps(&segment, (0, 240_000_000), vec![row(2, 20.0)]);
        rows_and_gaps.extend(gaps.rows_and_gaps(
            &segment,
            (240_000_000, 600_000_000),
            vec![row(6, 60.0)],
        ));
        rows_and_gaps.extend(gaps.end());
        let rows = rows_and_gaps.into_iter().flat_map(|row_or_gap| match row_or_gap {
            RowOrGap::Row(row) => vec![row],
            RowOrGap::Gap(gap) => gap.rows().collect(),
        });
        rows.map(|row| (row.start / 60_000_000, row.count, row.values[0])).collect()
    }

    fn values(fill: GapFill, before: Option<BucketRow>) -> Vec<f64> {
        let rows = filled(fill, before);
        assert!(rows.iter().map(|row| row.0).eq(0..10), "every bucket once, in order: {rows:?}");
        assert!(
            rows.iter().all(|&(minute, count, _)| count == u64::from(minute == 2 || minute == 6))
        );
        rows.into_iter().map(|row| row.2).collect()
    }

    #[test]
    fn none_leaves_gaps_and_null_fills_them_with_nan() {
        assert_eq!(filled(GapFill::None, None), [(2, 1, 20.0), (6, 1, 60.0)]);
        let values = values(GapFill::Null, None);
        assert!(
            values
                .iter()
                .enumerate()
                .all(|(minute, value)| value.is_nan() != (minute == 2 || minute == 6))
        );
    }

    #[test]
    fn the_last_value_is_carried_to_the_end_and_from_before_the_interval() {
        let values_after = values(GapFill::Last, None);
        assert!(values_after[..2].iter().all(|value| value.is_nan()));
        assert_eq!(values_after[2..], [20.0, 20.0, 20.0, 20.0, 60.0, 60.0, 60.0, 60.0]);
        assert_eq!(values(GapFill::Last, Some(row(-3, 7.0)))[..3], [7.0, 7.0, 20.0]);
    }

    #[test]
    fn interpolation_crosses_ranges_and_stops_at_the_outermost_rows() {
        let values = values(GapFill::Linear, None);
        assert!(values[..2].iter().chain(&values[7..]).all(|value| value.is_nan()), "{values:?}");
        assert_eq!(values[2..7], [20.0, 30.0, 40.0, 50.0, 60.0]);
    }
}

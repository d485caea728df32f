//! Buckets without points: where they are and what stands for them. Pure; gaps are ranges until they are sent.

use crate::plan::{Grid, Segment};
use crate::validate::GapFill;

/// Statistics of a bucket but its count, each at its place.
pub(super) const SLOTS: usize = 8;

/// A bucket as it is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    /// Microseconds since the Unix epoch.
    pub(super) start: i64,
    pub(super) count: u64,
    pub(super) values: [f64; SLOTS],
}

/// What is sent next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Piece<'a> {
    Row(Row),
    Gap(Gap<'a>),
}

/// Neighbouring buckets without points, and the rows that they are filled from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gap<'a> {
    grid: &'a Grid,
    start: i64,
    end: i64,
    left: Option<Row>,
    right: Option<Row>,
}

impl<'a> Gap<'a> {
    /// Its buckets, filled: on the line between both neighbours, or else with the left one's values; NaN without any.
    pub(super) fn rows(self) -> impl Iterator<Item = Row> + 'a {
        let value = move |slot: usize, start: i64| match (self.left, self.right) {
            (Some(left), Some(right)) => {
                between((left.start, left.values[slot]), (right.start, right.values[slot]), start)
            }
            (Some(left), None) => left.values[slot],
            _ => f64::NAN,
        };
        let row = move |start| Row {
            start,
            count: 0,
            values: std::array::from_fn(|slot| value(slot, start)),
        };
        self.grid.starts(self.start, self.end).map(row)
    }
}

/// The value at `x` on the line through two others; their weights add up to one, so that large values stay exact.
fn between((x0, y0): (i64, f64), (x1, y1): (i64, f64), x: i64) -> f64 {
    let share = (x - x0) as f64 / (x1 - x0) as f64;
    y0 * (1.0 - share) + y1 * share
}

/// Finds the gaps of one answer, part by part, in order.
pub(super) struct Gaps<'a> {
    fill: GapFill,
    /// The row before what comes next.
    left: Option<Row>,
    /// Gaps whose right neighbour is not known yet: at most one for each part.
    waiting: Vec<Gap<'a>>,
}

impl<'a> Gaps<'a> {
    pub(super) fn new(fill: GapFill) -> Self {
        Self { fill, left: None, waiting: Vec::new() }
    }

    /// Takes a row from before the interval, which a fill by the last value begins with.
    pub(super) fn look_back(&mut self, row: Row) {
        self.left = Some(row);
    }

    /// What to send for the part [start, end) of a segment, given its rows in time order.
    pub(super) fn pieces(
        &mut self,
        segment: &'a Segment,
        (start, end): (i64, i64),
        rows: Vec<Row>,
    ) -> Vec<Piece<'a>> {
        if self.fill == GapFill::None {
            return rows.into_iter().map(Piece::Row).collect();
        }
        let (mut pieces, mut next) = (Vec::with_capacity(rows.len() + 1), start);
        for row in rows {
            self.note(segment, next, row.start);
            self.release(Some(row), &mut pieces);
            pieces.push(Piece::Row(row));
            self.left = Some(row);
            next = segment.grid.step(row.start, 1);
        }
        self.note(segment, next, end);
        if self.fill != GapFill::Linear || self.left.is_none() {
            self.release(None, &mut pieces);
        }
        pieces
    }

    /// What is left to send after the last part.
    pub(super) fn end(&mut self) -> Vec<Piece<'a>> {
        let mut pieces = Vec::new();
        self.release(None, &mut pieces);
        pieces
    }

    fn note(&mut self, segment: &'a Segment, start: i64, end: i64) {
        if start < end {
            self.waiting.push(Gap { grid: &segment.grid, start, end, left: None, right: None });
        }
    }

    fn release(&mut self, right: Option<Row>, pieces: &mut Vec<Piece<'a>>) {
        let (left, right) = match self.fill {
            GapFill::Last => (self.left, None),
            GapFill::Linear if right.is_some() && self.left.is_some() => (self.left, right),
            _ => (None, None),
        };
        pieces.extend(self.waiting.drain(..).map(|gap| Piece::Gap(Gap { left, right, ..gap })));
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

    fn row(minute: i64, value: f64) -> Row {
        Row { start: minute * 60_000_000, count: 1, values: [value; SLOTS] }
    }

    /// Minutes 0 to 9 with points in 2 and 6, in two parts that meet at 4.
    fn filled(fill: GapFill, before: Option<Row>) -> Vec<(i64, u64, f64)> {
        let segment = segment();
        let mut gaps = Gaps::new(fill);
        if let Some(row) = before {
            gaps.look_back(row);
        }
        let mut pieces = gaps.pieces(&segment, (0, 240_000_000), vec![row(2, 20.0)]);
        pieces.extend(gaps.pieces(&segment, (240_000_000, 600_000_000), vec![row(6, 60.0)]));
        pieces.extend(gaps.end());
        let rows = pieces.into_iter().flat_map(|piece| match piece {
            Piece::Row(row) => vec![row],
            Piece::Gap(gap) => gap.rows().collect(),
        });
        rows.map(|row| (row.start / 60_000_000, row.count, row.values[0])).collect()
    }

    fn values(fill: GapFill, before: Option<Row>) -> Vec<f64> {
        let rows = filled(fill, before);
        assert!(rows.iter().map(|row| row.0).eq(0..10), "every bucket once, in order: {rows:?}");
        assert!(
            rows.iter().all(|&(minute, count, _)| count == u64::from(minute == 2 || minute == 6))
        );
        rows.into_iter().map(|row| row.2).collect()
    }

    #[test]
    fn none_leaves_gaps_and_null_says_nothing() {
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
    fn the_last_value_goes_on_to_the_end_and_comes_from_before_the_interval() {
        let values_after = values(GapFill::Last, None);
        assert!(values_after[..2].iter().all(|value| value.is_nan()));
        assert_eq!(values_after[2..], [20.0, 20.0, 20.0, 20.0, 60.0, 60.0, 60.0, 60.0]);
        assert_eq!(values(GapFill::Last, Some(row(-3, 7.0)))[..3], [7.0, 7.0, 20.0]);
    }

    #[test]
    fn a_line_joins_neighbours_also_where_parts_meet_and_ends_with_them() {
        let values = values(GapFill::Linear, None);
        assert!(values[..2].iter().chain(&values[7..]).all(|value| value.is_nan()), "{values:?}");
        assert_eq!(values[2..7], [20.0, 30.0, 40.0, 50.0, 60.0]);
    }
}

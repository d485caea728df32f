//! Points of several series in columns, without an object per point.

use std::ops::Range;

/// Points ordered by the position of their series in a list, and then by time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PointColumns {
    /// Microseconds since the Unix epoch.
    pub(crate) timestamps: Vec<i64>,
    pub(crate) values: Vec<f64>,
    /// For each series that has points: its position, and the index of its first point.
    starts: Vec<(usize, usize)>,
}

impl PointColumns {
    pub(crate) fn len(&self) -> usize {
        self.timestamps.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Appends a point. Returns false, and appends nothing, if it is out of order.
    #[must_use]
    pub(crate) fn push(&mut self, position: usize, timestamp: i64, value: f64) -> bool {
        match self.starts.last() {
            Some(&(last, _)) if last == position => {
                if self.timestamps.last().is_some_and(|&before| timestamp < before) {
                    return false;
                }
            }
            Some(&(last, _)) if last > position => return false,
            _ => self.starts.push((position, self.len())),
        }
        self.timestamps.push(timestamp);
        self.values.push(value);
        true
    }

    /// Returns the position of each series that has points, and the range of its points.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        let ends = self.starts.iter().skip(1).map(|&(_, start)| start).chain([self.len()]);
        self.starts.iter().zip(ends).map(|(&(position, start), end)| (position, start..end))
    }

    /// Sorts points of the same series and timestamp by value, ascending.
    pub(crate) fn sort_equal_timestamps(&mut self) {
        let runs: Vec<Range<usize>> = self.runs().map(|(_, rows)| rows).collect();
        for rows in runs {
            let mut start = rows.start;
            for tied in self.timestamps[rows].chunk_by(|one, other| one == other) {
                let end = start + tied.len();
                if tied.len() > 1 {
                    self.values[start..end].sort_unstable_by(f64::total_cmp);
                }
                start = end;
            }
        }
    }

    /// Removes the points of the last timestamp of the last series. Returns the position of that
    /// series and the timestamp.
    pub(crate) fn cut_last_timestamp(&mut self) -> Option<(usize, i64)> {
        let &(position, start) = self.starts.last()?;
        let &last = self.timestamps.last()?;
        let keep = start + self.timestamps[start..].partition_point(|&timestamp| timestamp < last);
        self.timestamps.truncate(keep);
        self.values.truncate(keep);
        if keep == start {
            self.starts.pop();
        }
        Some((position, last))
    }
}

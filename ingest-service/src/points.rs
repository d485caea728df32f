//! Points in columns. Validation produces them and the encoder reads them, without an object per
//! point.

/// Points of a batch, grouped into runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Points {
    /// Microseconds since the Unix epoch.
    timestamps: Vec<i64>,
    values: Vec<f64>,
    runs: Vec<Run>,
    /// Gaps left by rejected points, from which `sent_index` computes the original indices.
    skips: Vec<Skip>,
}

/// A gap left by rejected points of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Skip {
    /// Index of the first kept point after the gap.
    before: u32,
    /// Total number of rejected points up to this gap.
    skipped: u32,
}

/// Consecutive points of one series in chronological order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// Index into the batch's list of series.
    series: u32,
    /// Index of the first point. The run ends where the next one starts.
    start: u32,
}

impl Points {
    pub(crate) fn with_capacity(points: usize) -> Self {
        Self {
            timestamps: Vec::with_capacity(points),
            values: Vec::with_capacity(points),
            ..Self::default()
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Adds one point.
    #[inline]
    pub(crate) fn push(&mut self, series: u32, timestamp: i64, value: f64) {
        self.begin_run(series, timestamp);
        self.timestamps.push(timestamp);
        self.values.push(value);
    }

    /// Adds points of one series from little-endian columns of equal length.
    pub(crate) fn extend(&mut self, series: u32, timestamps: &[u8], values: &[u8]) {
        let first = self.timestamps.len();
        let timestamps = timestamps.as_chunks::<8>().0;
        let values = values.as_chunks::<8>().0;
        self.timestamps.extend(timestamps.iter().map(|bytes| i64::from_le_bytes(*bytes)));
        self.values.extend(values.iter().map(|bytes| f64::from_le_bytes(*bytes)));
        let added = &self.timestamps[first..];
        if added.is_sorted() {
            if let Some(&timestamp) = added.first() {
                self.begin_run_at(series, timestamp, first);
            }
        } else {
            for at in first..self.timestamps.len() {
                self.begin_run_at(series, self.timestamps[at], at);
            }
        }
    }

    #[inline]
    fn begin_run(&mut self, series: u32, timestamp: i64) {
        self.begin_run_at(series, timestamp, self.timestamps.len());
    }

    /// Begins a run at this point, unless the point continues the last run.
    #[inline]
    fn begin_run_at(&mut self, series: u32, timestamp: i64, at: usize) {
        let goes_on = self.runs.last().is_some_and(|run| run.series == series)
            && at.checked_sub(1).is_some_and(|before| self.timestamps[before] <= timestamp);
        if !goes_on {
            self.runs.push(Run { series, start: to_u32(at) });
        }
    }

    /// Records that the next `count` points of the batch are rejected.
    pub(crate) fn skip(&mut self, count: usize) {
        let skipped = self.skips.last().map_or(0, |skip| skip.skipped) + to_u32(count);
        self.skips.push(Skip { before: to_u32(self.len()), skipped });
    }

    /// Returns the index that a point had in the batch as it was sent.
    pub(crate) fn sent_index(&self, at: usize) -> usize {
        let skips = self.skips.partition_point(|skip| skip.before as usize <= at);
        at + self.skips[..skips].last().map_or(0, |skip| skip.skipped as usize)
    }

    /// Copies the points at these indices. Their original indices are not kept.
    pub(crate) fn part(&self, part: impl Iterator<Item = usize>) -> Self {
        let mut points = Self::default();
        for at in part {
            let run = self.runs.partition_point(|run| run.start as usize <= at) - 1;
            points.push(self.runs[run].series, self.timestamps[at], self.values[at]);
        }
        points
    }

    /// Iterates over the runs, each with its series (an index into the batch's list), timestamps
    /// and values.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u32, &[i64], &[f64])> {
        let ends = self.runs.iter().skip(1).map(|run| run.start).chain([to_u32(self.len())]);
        self.runs.iter().zip(ends).map(|(run, end)| {
            let range = run.start as usize..end as usize;
            (run.series, &self.timestamps[range.clone()], &self.values[range])
        })
    }
}

/// Converts an index or a count. The limit on the points of a batch is far below `u32::MAX`.
fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::Points;

    #[test]
    fn neighbours_of_one_series_in_order_are_one_run() {
        let mut points = Points::default();
        for (series, timestamp) in [(0, 1), (0, 2), (0, 2), (0, 1), (1, 5), (0, 6)] {
            points.push(series, timestamp, 0.5);
        }
        let runs: Vec<_> =
            points.runs().map(|(series, timestamps, _)| (series, timestamps)).collect();
        assert_eq!(runs, [(0, &[1, 2, 2][..]), (0, &[1]), (1, &[5]), (0, &[6])]);
    }

    #[test]
    fn points_keep_their_original_indices() {
        let mut points = Points::default();
        points.skip(1);
        points.push(0, 1, 0.5);
        points.push(1, 2, 1.5);
        points.skip(3);
        points.push(0, 3, 2.5);
        assert_eq!([0, 1, 2].map(|at| points.sent_index(at)), [1, 2, 6]);
        let part = points.part([0, 2].into_iter());
        let runs: Vec<_> =
            part.runs().map(|(series, timestamps, _)| (series, timestamps)).collect();
        assert_eq!(runs, [(0, &[1, 3][..])]);
    }

    #[test]
    fn columns_become_runs_of_ascending_times() {
        let bytes = |numbers: &[i64]| {
            numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>()
        };
        let values = |count: usize| [1.5_f64.to_le_bytes()].concat().repeat(count);
        let mut points = Points::with_capacity(9);
        points.extend(3, &bytes(&[1, 2, 3]), &values(3));
        points.extend(3, &bytes(&[3, 4]), &values(2));
        points.extend(4, &bytes(&[9, 8, 10]), &values(3));
        points.extend(4, &[], &[]);
        let runs: Vec<_> = points
            .runs()
            .map(|(series, timestamps, values)| (series, timestamps, values.len()))
            .collect();
        assert_eq!(runs, [(3, &[1, 2, 3, 3, 4][..], 5), (4, &[9], 1), (4, &[8, 10], 2)]);
        assert_eq!(points.len(), 8);
    }
}

//! Rejected points of a batch. All are counted and kept as ranges. The first are listed with a
//! message; neighbours with the same reason share one entry.

use shared::proto::v1::{PointRanges, Rejection, RejectionReason};

/// Number of reasons in the contract, including the unspecified one.
pub(crate) const REASONS: usize = RejectionReason::ValueMissing as usize + 1;

/// Maximum number of entries listed for one batch.
pub(crate) const MAX_LISTED: usize = 100;

/// The rejected points of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rejections {
    /// Number of rejected points, listed or not.
    pub(crate) count: u64,
    /// Number of rejected points, indexed by the number of the reason.
    pub(crate) by_reason: [u64; REASONS],
    /// The first rejections, in ascending order of their indices.
    pub(crate) listed: Vec<Rejection>,
    /// Whether some rejected points are not listed.
    pub(crate) truncated: bool,
    /// Indices of all rejected points, in ascending order.
    pub(crate) ranges: PointRanges,
}

impl Rejections {
    /// Adds `count` neighbouring points from `index` on, which must follow all points added before.
    pub(crate) fn push(
        &mut self,
        index: usize,
        count: usize,
        reason: RejectionReason,
        message: String,
    ) {
        let index = to_u32(index);
        let count = to_u32(count);
        self.count += u64::from(count);
        self.by_reason[reason as usize] += u64::from(count);
        push_range(&mut self.ranges, index, count);
        if let Some(last) = self.listed.last_mut()
            && !self.truncated
            && last.reason == reason as i32
            && last.point_index + last.point_count == index
        {
            last.point_count += count;
        } else if self.listed.len() < MAX_LISTED {
            let reason = reason as i32;
            self.listed.push(Rejection {
                batch_index: 0,
                point_index: index,
                point_count: count,
                reason,
                message,
            });
        } else {
            self.truncated = true;
        }
    }

    /// Adds rejected points of the same batch at any indices.
    pub(crate) fn merge(&mut self, other: Self) {
        if other.count == 0 {
            return;
        }
        self.count += other.count;
        self.by_reason.iter_mut().zip(other.by_reason).for_each(|(count, more)| *count += more);
        self.truncated |= other.truncated;
        self.listed.extend(other.listed);
        self.listed.sort_by_key(|entry| entry.point_index);
        if self.listed.len() > MAX_LISTED {
            self.listed.truncate(MAX_LISTED);
            self.truncated = true;
        }
        let mut all: Vec<(u32, u32)> = pairs(&self.ranges).chain(pairs(&other.ranges)).collect();
        all.sort_unstable();
        self.ranges = PointRanges::default();
        all.into_iter().for_each(|(start, count)| push_range(&mut self.ranges, start, count));
    }
}

/// Iterates over the ranges as pairs of first index and length.
fn pairs(ranges: &PointRanges) -> impl Iterator<Item = (u32, u32)> {
    ranges.starts.iter().copied().zip(ranges.counts.iter().copied())
}

/// Adds a range, which must begin at or after the end of the last one. Extends the last range if
/// the two touch.
fn push_range(ranges: &mut PointRanges, start: u32, count: u32) {
    match (ranges.starts.last(), ranges.counts.last_mut()) {
        (Some(last_start), Some(last_count)) if last_start + *last_count == start => {
            *last_count += count
        }
        _ => {
            ranges.starts.push(start);
            ranges.counts.push(count);
        }
    }
}

/// Converts an index or a count. The limit on the points of a batch is far below `u32::MAX`.
fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(points: impl Iterator<Item = usize>, reason: RejectionReason) -> Rejections {
        let mut rejections = Rejections::default();
        points.for_each(|index| rejections.push(index, 1, reason, "why".to_owned()));
        rejections
    }

    fn indices(rejections: &Rejections) -> Vec<u32> {
        pairs(&rejections.ranges).flat_map(|(start, count)| start..start + count).collect()
    }

    #[test]
    fn every_refused_point_is_in_the_ranges_however_many_there_are() {
        let rejections = rejected((0..1_000).step_by(2), RejectionReason::ValueNotFinite);
        assert_eq!(
            (rejections.count, rejections.listed.len(), rejections.truncated),
            (500, MAX_LISTED, true)
        );
        assert_eq!(indices(&rejections), (0..1_000).step_by(2).collect::<Vec<_>>());
    }

    #[test]
    fn neighbours_are_one_range_whatever_their_reasons() {
        let mut rejections = rejected(3..5, RejectionReason::ValueNotFinite);
        rejections.push(5, 2, RejectionReason::TimestampTooOld, "why".to_owned());
        assert_eq!((&*rejections.ranges.starts, &*rejections.ranges.counts), (&[3][..], &[4][..]));
        assert_eq!(rejections.listed.len(), 2);
    }

    #[test]
    fn unlisted_rejections_do_not_extend_the_last_entry() {
        let mut rejections = rejected((0..202).step_by(2), RejectionReason::ValueNotFinite);
        let last = rejections.listed[MAX_LISTED - 1].clone();
        rejections.push(199, 1, RejectionReason::ValueNotFinite, "why".to_owned());
        assert_eq!(rejections.listed[MAX_LISTED - 1], last);
    }

    #[test]
    fn points_that_the_database_refuses_are_merged_in_ascending_order() {
        let mut rejections = rejected([1, 2, 9].into_iter(), RejectionReason::ValueNotFinite);
        rejections.merge(rejected([3, 7].into_iter(), RejectionReason::RefusedByDatabase));
        assert_eq!(indices(&rejections), [1, 2, 3, 7, 9]);
        assert_eq!(rejections.count, 5);
        let listed: Vec<_> = rejections.listed.iter().map(|entry| entry.point_index).collect();
        assert_eq!(listed, [1, 3, 7, 9]);
    }
}

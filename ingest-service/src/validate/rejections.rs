//! Refused points: counted all, listed up to a bound, neighbours with one reason as one entry.

use shared::proto::v1::{Rejection, RejectionReason};

/// How many reasons the contract has, the unset one included.
pub(crate) const REASONS: usize = RejectionReason::ValueMissing as usize + 1;

/// Most entries that an answer lists.
pub(crate) const MAX_LISTED: usize = 100;

/// The refused points of a batch or of all batches of a call.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Rejections {
    /// All refused points, listed or not.
    pub(crate) count: u64,
    /// The same by the number of the reason.
    pub(crate) by_reason: [u64; REASONS],
    /// The first of them.
    pub(crate) listed: Vec<Rejection>,
    /// Whether some are not listed.
    pub(crate) truncated: bool,
}

impl Rejections {
    pub(crate) fn push(&mut self, index: usize, count: usize, reason: RejectionReason, message: String) {
        let (index, count) = (to_u32(index), to_u32(count));
        self.count += u64::from(count);
        self.by_reason[reason as usize] += u64::from(count);
        if let Some(last) = self.listed.last_mut()
            && last.reason == reason as i32
            && last.point_index + last.point_count == index
        {
            last.point_count += count;
        } else if self.listed.len() < MAX_LISTED {
            let (batch_index, reason) = (0, reason as i32);
            self.listed.push(Rejection { batch_index, point_index: index, point_count: count, reason, message });
        } else {
            self.truncated = true;
        }
    }

    /// Adds more of the same batch.
    pub(crate) fn add(&mut self, other: Self) {
        self.append(0, other);
    }

    /// Adds those of a later batch of the same call.
    pub(crate) fn append(&mut self, batch_index: u64, other: Self) {
        self.count += other.count;
        self.by_reason.iter_mut().zip(other.by_reason).for_each(|(count, more)| *count += more);
        let room = MAX_LISTED - self.listed.len();
        self.truncated |= other.truncated || other.listed.len() > room;
        self.listed.extend(other.listed.into_iter().take(room).map(|entry| Rejection { batch_index, ..entry }));
    }
}

/// A batch has at most 4 billion points: its limit is far below.
fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

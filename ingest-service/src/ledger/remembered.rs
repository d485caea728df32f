//! Encoding of the batches that the ledger remembers: the hash of the content and the answer to the
//! first sending, as protobuf bytes.

use prost::Message as _;
use shared::proto::v1;
use shared::time;

/// Size in bytes at which the entries in a producer's row are moved to a page of their own. The
/// average row is half as long.
pub(crate) const PAGE_BYTES: i32 = 512;

/// Minimum number of batches of the current epoch that are remembered.
pub(crate) const REMEMBERED_BATCHES: i64 = 1_000;

/// A batch that was applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RememberedBatch {
    /// Hash of the batch's bytes.
    pub(crate) content_hash: u64,
    /// Answer to the first sending.
    pub(crate) result: v1::BatchResult,
}

/// Stored form of a batch. An answer without rejections is stored in separate fields, which takes
/// about 26 bytes instead of 38.
#[derive(Clone, PartialEq, prost::Message)]
struct StoredBatch {
    #[prost(fixed64, tag = "1")]
    content_hash: u64,
    /// Whole answer, if it has rejections.
    #[prost(message, optional, tag = "2")]
    result: Option<v1::BatchResult>,
    #[prost(uint64, tag = "3")]
    sequence: u64,
    #[prost(uint64, tag = "4")]
    accepted_count: u64,
    /// Microseconds since the Unix epoch.
    #[prost(int64, tag = "5")]
    committed_at: i64,
}

/// Bytes of a ledger row or a page: any number of batches, so that appending is concatenation.
#[derive(Clone, PartialEq, prost::Message)]
struct Entries {
    #[prost(message, repeated, tag = "1")]
    batches: Vec<StoredBatch>,
}

impl RememberedBatch {
    /// Appends the batch to the bytes of a row or a page.
    pub(crate) fn append_to(&self, entries: &mut Vec<u8>) {
        prost::encoding::message::encode(1, &StoredBatch::of(self), entries);
    }
}

impl StoredBatch {
    fn of(batch: &RememberedBatch) -> Self {
        let RememberedBatch { content_hash, result } = batch;
        let by_parts = Self {
            content_hash: *content_hash,
            result: None,
            sequence: result.sequence,
            accepted_count: result.accepted_count,
            committed_at: result
                .committed_at
                .as_ref()
                .and_then(time::from_timestamp)
                .unwrap_or_default(),
        };
        if by_parts.answer() == *result {
            return by_parts;
        }
        Self { content_hash: *content_hash, result: Some(result.clone()), ..Self::default() }
    }

    /// Rebuilds an answer without rejections from its fields.
    fn answer(&self) -> v1::BatchResult {
        v1::BatchResult {
            sequence: self.sequence,
            accepted_count: self.accepted_count,
            committed_at: Some(time::to_timestamp(self.committed_at)),
            ..v1::BatchResult::default()
        }
    }
}

impl From<StoredBatch> for RememberedBatch {
    fn from(stored: StoredBatch) -> Self {
        let by_parts = stored.answer();
        Self { content_hash: stored.content_hash, result: stored.result.unwrap_or(by_parts) }
    }
}

/// Decodes the batches of a row or a page.
///
/// # Errors
/// Returns a message for the log if the bytes cannot be decoded.
pub(crate) fn decode(entries: &[u8]) -> Result<Vec<RememberedBatch>, String> {
    Entries::decode(entries)
        .map(|entries| entries.batches.into_iter().map(RememberedBatch::from).collect())
        .map_err(|error| format!("the ledger holds entries that cannot be decoded: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_batches_are_read_back_in_their_order() {
        let batch = |sequence| RememberedBatch {
            content_hash: u64::MAX - sequence,
            result: v1::BatchResult {
                sequence,
                accepted_count: 100,
                rejected_count: sequence - 1, // the first one has no rejections
                committed_at: Some(time::to_timestamp(1_795_413_426_123_456)),
                ..Default::default()
            },
        };
        let mut entries = Vec::new();
        batch(1).append_to(&mut entries);
        batch(2).append_to(&mut entries);
        assert_eq!(decode(&entries).unwrap(), [batch(1), batch(2)]);
        assert_eq!(decode(&[]).unwrap(), []);
        assert!(
            decode(&entries[1..])
                .unwrap_err()
                .starts_with("the ledger holds entries that cannot be decoded")
        );
    }

    #[test]
    fn a_batch_without_rejections_takes_less_than_thirty_bytes() {
        let result = v1::BatchResult {
            sequence: 1_000_000,
            accepted_count: 100_000,
            committed_at: Some(time::to_timestamp(1_795_413_426_123_456)),
            ..Default::default()
        };
        let mut entries = Vec::new();
        RememberedBatch { content_hash: u64::MAX, result }.append_to(&mut entries);
        assert!(entries.len() < 30, "{}", entries.len());
    }
}

//! What the ledger stores of a batch: the hash of its content and the answer of its first sending, as protobuf bytes.

use prost::Message as _;
use shared::proto::v1;

/// Entries of a producer that take this many bytes leave its row as one page. The average row is half as long.
pub(crate) const PAGE_BYTES: i32 = 512;

/// Batches of the current epoch that are remembered at least.
pub(crate) const REMEMBERED_BATCHES: i64 = 1_000;

/// A batch that was applied.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RememberedBatch {
    /// Hash of the batch's bytes.
    #[prost(fixed64, tag = "1")]
    pub(crate) content_hash: u64,
    /// The answer that the first sending got.
    #[prost(message, required, tag = "2")]
    pub(crate) result: v1::BatchResult,
}

/// The bytes of a ledger row or a page: any number of batches, so that appending is concatenation.
#[derive(Clone, PartialEq, prost::Message)]
struct Entries {
    #[prost(message, repeated, tag = "1")]
    batches: Vec<RememberedBatch>,
}

impl RememberedBatch {
    /// Appends the batch to the bytes of a row or a page.
    pub(crate) fn append_to(&self, entries: &mut Vec<u8>) {
        prost::encoding::message::encode(1, self, entries);
    }
}

/// Reads the batches of a row or a page.
///
/// # Errors
/// The bytes are not those of entries, as a message for the log.
pub(crate) fn decode(entries: &[u8]) -> Result<Vec<RememberedBatch>, String> {
    Entries::decode(entries)
        .map(|entries| entries.batches)
        .map_err(|error| format!("the ledger holds entries that cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appended_batches_are_read_back_in_their_order() {
        let batch = |sequence| RememberedBatch {
            content_hash: u64::MAX - sequence,
            result: v1::BatchResult { sequence, accepted_count: 100, ..Default::default() },
        };
        let mut entries = Vec::new();
        batch(1).append_to(&mut entries);
        batch(2).append_to(&mut entries);
        assert_eq!(decode(&entries).unwrap(), [batch(1), batch(2)]);
        assert_eq!(decode(&[]).unwrap(), []);
        assert!(decode(&entries[1..]).unwrap_err().starts_with("the ledger holds entries that cannot be read"));
    }

    #[test]
    fn a_batch_without_rejections_takes_less_than_forty_bytes() {
        let result = v1::BatchResult {
            sequence: 1_000_000,
            accepted_count: 100_000,
            committed_at: Some(shared::time::to_timestamp(1_795_413_426_123_456)),
            ..Default::default()
        };
        let mut entries = Vec::new();
        RememberedBatch { content_hash: u64::MAX, result }.append_to(&mut entries);
        assert!(entries.len() < 40, "{}", entries.len());
    }
}

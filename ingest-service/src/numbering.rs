//! Numbering of batches by their producers.

/// Prefix of the producer ids of the service's own writers. Clients may not use it.
pub(crate) const OWN_PRODUCERS: &str = "tidegauge/";

/// The number of a batch within its producer and epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbering {
    pub(crate) producer_id: String,
    pub(crate) epoch: i64,
    pub(crate) sequence: i64,
    /// Hash of the batch's bytes; a resend has the same hash.
    pub(crate) content_hash: u64,
}

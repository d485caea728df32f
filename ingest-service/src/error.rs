//! Why a whole batch is refused, and the status that says so. Refused points are not errors: see `validate`.

use std::collections::HashMap;
use std::fmt;

use shared::quotas::OverLimit;
use shared::status;
use tonic::Status;

use crate::ledger::REMEMBERED_BATCHES;
use crate::validate::Numbering;
use crate::wire::Malformed;

/// A key of the metadata of sequence errors.
const EXPECTED_SEQUENCE: &str = "expected_sequence";

/// Why a batch was not stored. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BatchError {
    /// Can never succeed: a field and a sentence about what it accepts.
    #[error("{field}: {sentence}")]
    Invalid { field: &'static str, sentence: String },
    /// Who sends it may not.
    #[error("{sentence}")]
    Forbidden { reason: &'static str, sentence: String },
    /// More points than one batch may have.
    #[error("batch has {found} points; the limit is {limit}: send it as several batches")]
    TooManyPoints { found: usize, limit: usize, numbering: Option<Box<Numbering>> },
    /// Batches before this one are missing.
    #[error("{0} leaves a gap: the next sequence of epoch {epoch} is {expected}", epoch = .0.epoch, expected = .0.expected_sequence)]
    Gap(SequenceError),
    /// A newer incarnation of the producer has taken over.
    #[error("{0} is fenced: epoch {current} has taken over", current = .0.current_epoch.unwrap_or_default())]
    Fenced(SequenceError),
    /// Other content was applied under the same number.
    #[error(
        "{0} was applied with different content; nothing of this batch is stored. A sender that lost its place begins a new \
         epoch at sequence 1 (the current epoch is {epoch}); one that did not goes on at sequence {expected}",
        epoch = .0.epoch, expected = .0.expected_sequence
    )]
    Reused(SequenceError),
    /// It was applied too long ago for its answer to be remembered.
    #[error(
        "{0} was applied, but its answer is no longer remembered (the last {REMEMBERED_BATCHES} batches are); \
         go on at sequence {expected}",
        expected = .0.expected_sequence
    )]
    TooOld(SequenceError),
    /// The database looked at it and refused it.
    #[error("the database refused the batch; the service's log has the details")]
    Refused,
    /// Its sender is over a limit, for now.
    #[error("{0}")]
    OverLimit(OverLimit),
    /// More is sent than can be stored.
    #[error(
        "the service is behind: there is no room for more points now (TIDEGAUGE_QUEUE_MAX_POINTS)"
    )]
    Overloaded,
    /// Nothing can be stored now.
    #[error("{0}")]
    Unavailable(String),
}

/// A batch whose number does not fit what the ledger holds of its producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SequenceError {
    pub(crate) producer_id: String,
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
    /// The next sequence of the batch's epoch.
    pub(crate) expected_sequence: u64,
    /// The ledger's epoch; `None` if the ledger does not hold the producer.
    pub(crate) current_epoch: Option<u64>,
}

impl fmt::Display for SequenceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { producer_id, epoch, sequence, .. } = self;
        write!(formatter, "sequence {sequence} of producer {producer_id:?}, epoch {epoch},")
    }
}

impl SequenceError {
    /// Returns what a program needs to go on.
    fn metadata(&self) -> HashMap<String, String> {
        let expected = (EXPECTED_SEQUENCE.to_owned(), self.expected_sequence.to_string());
        let current =
            self.current_epoch.map(|epoch| ("current_epoch".to_owned(), epoch.to_string()));
        [expected].into_iter().chain(current).collect()
    }
}

impl From<Malformed> for BatchError {
    fn from(malformed: Malformed) -> Self {
        Self::Invalid {
            field: "message",
            sentence: format!("is not a message of the contract: {malformed}"),
        }
    }
}

impl BatchError {
    pub(crate) fn shutting_down() -> Self {
        Self::Unavailable("the service is shutting down; send to another instance".to_owned())
    }

    /// The status with the contract's details; `prefix` says where in a stream it happened.
    pub(crate) fn into_status(self, prefix: &str) -> Status {
        let sentence = format!("{prefix}{self}");
        match self {
            Self::Invalid { field, sentence } => {
                status::invalid_argument(field, format!("{prefix}{sentence}"))
            }
            Self::Forbidden { reason, .. } => status::permission_denied(reason, sentence),
            Self::TooManyPoints { .. } => status::too_large(sentence),
            Self::Gap(error) => {
                status::failed_precondition("SEQUENCE_GAP", error.metadata(), sentence)
            }
            Self::Fenced(error) => {
                let mut metadata = error.metadata();
                metadata.remove(EXPECTED_SEQUENCE); // its epoch has no next sequence
                status::failed_precondition("EPOCH_FENCED", metadata, sentence)
            }
            Self::Reused(error) => {
                status::failed_precondition("SEQUENCE_REUSED", error.metadata(), sentence)
            }
            Self::TooOld(error) => {
                status::failed_precondition("SEQUENCE_TOO_OLD", error.metadata(), sentence)
            }
            Self::Refused => status::internal_because(sentence),
            Self::OverLimit(over) => over.into_status(prefix),
            Self::Overloaded | Self::Unavailable(_) => status::unavailable(sentence),
        }
    }
}

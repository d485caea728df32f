//! Reasons for refusing a whole batch, and the statuses that report them. Rejected points are not
//! errors: see `validate`.

use std::collections::HashMap;
use std::fmt;

use shared::quotas::OverLimit;
use shared::status;
use tonic::Status;

use crate::ledger::REMEMBERED_BATCHES;
use crate::numbering::Numbering;
use crate::wire::Malformed;

/// Metadata key of sequence errors: the next sequence of the batch's epoch.
const EXPECTED_SEQUENCE: &str = "expected_sequence";

/// Reason why a call stored nothing of a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BatchError {
    /// The batch can never succeed. Names the field and what it accepts.
    #[error("{field}: {sentence}")]
    Invalid { field: &'static str, sentence: String },
    /// The caller may not send this batch.
    #[error("{sentence}")]
    Forbidden { reason: &'static str, sentence: String },
    /// The batch has more points than allowed. `numbering` is kept to look up an earlier answer.
    #[error("batch has {found} points; the limit is {limit}: split it into several batches")]
    TooManyPoints { found: usize, limit: usize, numbering: Option<Box<Numbering>> },
    /// Batches before this one are missing.
    #[error(
        "{0} leaves a gap: the next sequence of epoch {epoch} is {expected}",
        epoch = .0.epoch,
        expected = .0.expected_sequence
    )]
    Gap(SequenceError),
    /// A higher epoch of the producer has taken over.
    #[error(
        "{0} is fenced: epoch {current} has taken over",
        current = .0.current_epoch.unwrap_or_default()
    )]
    Fenced(SequenceError),
    /// Different content was applied under the same number.
    #[error(
        "{0} was already applied with different content; this batch is not stored. If the sender \
         lost its position, begin a new epoch at sequence 1 (the current epoch is {epoch}); \
         otherwise continue at sequence {expected}",
        epoch = .0.epoch,
        expected = .0.expected_sequence
    )]
    Reused(SequenceError),
    /// The batch was applied too long ago for its answer to be remembered.
    #[error(
        "{0} was applied, but its answer is no longer remembered (only the last \
         {REMEMBERED_BATCHES} batches are); continue at sequence {expected}",
        expected = .0.expected_sequence
    )]
    TooOld(SequenceError),
    /// The database refuses the batch permanently.
    #[error("the database refused the batch; see the service's log for details")]
    Refused,
    /// The client exceeds a limit and may retry later.
    #[error("{0}")]
    OverLimit(OverLimit),
    /// No permit was granted in time: the queue is full, or the producer's batches are deferred.
    #[error("the service is overloaded: its queue of points is full (TIDEGAUGE_QUEUE_MAX_POINTS)")]
    Overloaded,
    /// The service cannot store anything at present.
    #[error("{0}")]
    Unavailable(String),
}

/// A batch whose number contradicts the ledger's position of its producer.
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
    /// Returns the values from which a client can recover.
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

    /// Converts the error into a status with the contract's details. `prefix` says where in a
    /// stream it happened.
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
                metadata.remove(EXPECTED_SEQUENCE); // a fenced epoch has no next sequence
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

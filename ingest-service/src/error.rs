//! Why a whole batch is refused, and the status that says so. Refused points are not errors: see `validate`.

use std::collections::HashMap;

use shared::quotas::OverLimit;
use shared::status;
use tonic::Status;

use crate::wire::Malformed;

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
    TooManyPoints { found: usize, limit: usize },
    /// Batches before this one are missing.
    #[error("batch {found} of producer {producer_id:?} leaves a gap: the next sequence of epoch {epoch} is {expected}")]
    Gap { producer_id: String, epoch: u64, found: u64, expected: u64 },
    /// A newer incarnation of the producer has taken over.
    #[error("epoch {found} of producer {producer_id:?} is fenced: epoch {current} has taken over")]
    Fenced { producer_id: String, found: u64, current: u64 },
    /// The database looked at it and refused it.
    #[error("the database refused the batch; the service's log has the details")]
    Refused,
    /// Its sender is over a limit, for now.
    #[error("{0}")]
    OverLimit(OverLimit),
    /// More is sent than can be stored.
    #[error("the service is behind: there is no room for more points now (TIDEGAUGE_QUEUE_MAX_POINTS)")]
    Overloaded,
    /// Nothing can be stored now.
    #[error("{0}")]
    Unavailable(String),
}

impl From<Malformed> for BatchError {
    fn from(malformed: Malformed) -> Self {
        Self::Invalid { field: "message", sentence: format!("is not a message of the contract: {malformed}") }
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
            Self::Invalid { field, sentence } => status::invalid_argument(field, format!("{prefix}{sentence}")),
            Self::Forbidden { reason, .. } => status::permission_denied(reason, sentence),
            Self::TooManyPoints { .. } => status::too_large(sentence),
            Self::Gap { epoch, expected, .. } => status::failed_precondition(
                "SEQUENCE_GAP",
                metadata(&[("expected_sequence", expected), ("current_epoch", epoch)]),
                sentence,
            ),
            Self::Fenced { current, .. } => {
                status::failed_precondition("EPOCH_FENCED", metadata(&[("current_epoch", current)]), sentence)
            }
            Self::Refused => status::internal_because(sentence),
            Self::OverLimit(over) => over.into_status(prefix),
            Self::Overloaded | Self::Unavailable(_) => status::unavailable(sentence),
        }
    }
}

fn metadata(pairs: &[(&str, u64)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect()
}

//! Labels of the metrics of ingest-service, and their values.

/// Label of the procedure that a job of the database runs.
pub(crate) const PROCEDURE: &str = "procedure";
pub(super) const OUTCOME: &str = "outcome";
pub(super) const WRITE_PATH: &str = "write_path";
pub(super) const OPERATION: &str = "operation";

/// Outcome of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BatchOutcome {
    Applied,
    Duplicate,
    NothingValid,
    Invalid,
    Forbidden,
    TooLarge,
    Gap,
    Fenced,
    Reused,
    SequenceTooOld,
    Refused,
    OverLimit,
    Overloaded,
    Unavailable,
}

impl BatchOutcome {
    pub(super) const ALL: [Self; 14] = [
        Self::Applied,
        Self::Duplicate,
        Self::NothingValid,
        Self::Invalid,
        Self::TooLarge,
        Self::Gap,
        Self::Fenced,
        Self::Reused,
        Self::SequenceTooOld,
        Self::Refused,
        Self::Forbidden,
        Self::OverLimit,
        Self::Overloaded,
        Self::Unavailable,
    ];

    /// Returns the value of the label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::NothingValid => "nothing_valid",
            Self::Invalid => "invalid",
            Self::Forbidden => "forbidden",
            Self::TooLarge => "too_large",
            Self::Gap => "gap",
            Self::Fenced => "fenced",
            Self::Reused => "sequence_reused",
            Self::SequenceTooOld => "sequence_too_old",
            Self::Refused => "refused",
            Self::OverLimit => "over_limit",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Database operation that is retried.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Flush,
    Series,
    RefusedPoints,
}

impl Operation {
    /// Returns the value of the label.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Series => "series",
            Self::RefusedPoints => "refused_points",
        }
    }
}

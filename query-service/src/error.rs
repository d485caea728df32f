//! Why a query has no answer, and the status that says so.

use std::time::Duration;

use shared::{db, status};
use tonic::Status;

/// How long a client is asked to wait where the database is away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    /// It can never have one: the field and what it accepts.
    #[error("{field}: {sentence}")]
    Invalid { field: String, sentence: String },
    /// What it names does not exist.
    #[error("{kind} {name:?} does not exist")]
    NotFound { kind: &'static str, name: String },
    /// This version does not serve it.
    #[error("{0} is not served by this version")]
    Unimplemented(&'static str),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl QueryError {
    pub(crate) fn invalid(field: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), sentence: sentence.into() }
    }
}

/// Logs what the client is not told: the one place where errors of the database end.
impl From<QueryError> for Status {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Invalid { field, sentence } => status::invalid_argument(&field, sentence),
            QueryError::NotFound { kind, name } => status::not_found(kind, &name),
            QueryError::Unimplemented(what) => status::unimplemented(what),
            QueryError::Database(error) if db::is_unavailable(&error) => {
                tracing::warn!(%error, "the database is away");
                status::unavailable("the database is away", RETRY_AFTER)
            }
            QueryError::Database(error) => {
                tracing::error!(%error, "a query failed");
                status::internal()
            }
        }
    }
}

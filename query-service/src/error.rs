//! Why a query has no answer, and the status that says so.

use std::io;
use std::time::Duration;

use shared::{db, status};
use tonic::Status;

/// How long where all subscriptions are taken.
const SUBSCRIBE_AFTER: Duration = Duration::from_secs(30);

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    /// It can never have one: the field and what it accepts.
    #[error("{field}: {sentence}")]
    Invalid { field: String, sentence: String },
    /// What it names does not exist.
    #[error("{kind} {name:?} does not exist")]
    NotFound { kind: &'static str, name: String },
    /// The time that the client gave the call is over.
    #[error("the deadline of the call has passed")]
    DeadlinePassed,
    /// It took longer than this service allows.
    #[error("{}", TooLong(*.0))]
    TooLong(Duration),
    /// The client leaves frames lying about.
    #[error("the client took no frame for {}", humantime::format_duration(*.0))]
    ClientStalled(Duration),
    /// Every connection to the database is in use.
    #[error("too many queries at once")]
    Busy,
    /// As many subscriptions as this service takes.
    #[error(
        "{0} subscriptions are open, the limit of this service (TIDEGAUGE_WATCH_SUBSCRIPTIONS)"
    )]
    TooManySubscriptions(usize),
    /// A subscription's end, not its failure.
    #[error("the service is shutting down; resume with the last resume_token")]
    ShuttingDown,
    /// The database failed.
    #[error(transparent)]
    Database(sqlx::Error),
}

/// A statement was given up: travels inside an error of sqlx.
#[derive(Debug, thiserror::Error)]
#[error(
    "the query took longer than {} (TIDEGAUGE_QUERY_TIMEOUT); ask for a shorter interval or for fewer series",
    humantime::format_duration(*.0)
)]
struct TooLong(Duration);

/// A statement was given up after this long.
pub(crate) fn too_long(longest: Duration) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, TooLong(longest)))
}

impl From<sqlx::Error> for QueryError {
    fn from(error: sqlx::Error) -> Self {
        let given_up = match &error {
            sqlx::Error::PoolTimedOut => return Self::Busy,
            sqlx::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref()),
            _ => None,
        };
        match given_up {
            Some(&TooLong(longest)) => Self::TooLong(longest),
            None => Self::Database(error),
        }
    }
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
            QueryError::DeadlinePassed | QueryError::TooLong(_) | QueryError::ClientStalled(_) => {
                status::deadline_exceeded(error.to_string())
            }
            QueryError::TooManySubscriptions(_) => {
                status::too_many(error.to_string(), SUBSCRIBE_AFTER)
            }
            QueryError::Busy | QueryError::ShuttingDown => status::unavailable(error.to_string()),
            QueryError::Database(error) if db::is_unavailable(&error) => {
                tracing::warn!(%error, "the database is away");
                status::unavailable("the database is away")
            }
            QueryError::Database(error) => {
                tracing::error!(%error, "a query failed");
                status::internal()
            }
        }
    }
}

//! The errors of a query, and the gRPC status of each.

use std::io;
use std::time::Duration;

use shared::{db, status};
use tonic::Status;

/// The retry delay for clients that are refused because all subscriptions are in use.
const SUBSCRIBE_AFTER: Duration = Duration::from_secs(30);

/// The reason why a query failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    /// The request can never succeed. Names the field and the values that it accepts.
    #[error("{field}: {description}")]
    Invalid { field: String, description: String },
    /// The request names a device or series that does not exist.
    #[error("{kind} {name:?} does not exist")]
    NotFound { kind: &'static str, name: String },
    /// The client's own deadline has passed.
    #[error("the deadline of the call has passed")]
    DeadlinePassed,
    /// The query took longer than this service allows.
    #[error("{}", TimedOut(*.0))]
    TimedOut(Duration),
    /// The client stopped reading the stream.
    #[error(
        "the client read nothing from the stream for {} (TIDEGAUGE_QUERY_TIMEOUT)",
        humantime::format_duration(*.0)
    )]
    ClientStalled(Duration),
    /// Every connection to the database is in use.
    #[error(
        "too many concurrent queries: no database connection became free in time \
         (TIDEGAUGE_DATABASE_CONNECTIONS); try again later"
    )]
    TooManyQueries,
    /// The limit on open subscriptions is reached.
    #[error(
        "this service already has {0} subscriptions open, its limit \
         (TIDEGAUGE_WATCH_SUBSCRIPTIONS); try again later"
    )]
    TooManySubscriptions(usize),
    /// The service ended the subscription because it is shutting down.
    #[error("the service is shutting down; resume with the last resume_token")]
    ShuttingDown,
    /// The database failed.
    #[error(transparent)]
    Database(sqlx::Error),
}

/// A timeout of a statement, wrapped in an error of sqlx.
#[derive(Debug, thiserror::Error)]
#[error(
    "the query took longer than {} (TIDEGAUGE_QUERY_TIMEOUT); request a shorter interval or \
     fewer series",
    humantime::format_duration(*.0)
)]
struct TimedOut(Duration);

/// Returns the error of a statement that did not finish within `query_timeout`.
pub(crate) fn timed_out(query_timeout: Duration) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, TimedOut(query_timeout)))
}

impl From<sqlx::Error> for QueryError {
    fn from(error: sqlx::Error) -> Self {
        let given_up = match &error {
            sqlx::Error::PoolTimedOut => return Self::TooManyQueries,
            sqlx::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref()),
            _ => None,
        };
        match given_up {
            Some(&TimedOut(query_timeout)) => Self::TimedOut(query_timeout),
            None => Self::Database(error),
        }
    }
}

impl QueryError {
    pub(crate) fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), description: description.into() }
    }
}

/// Logs database errors, whose text never reaches the client.
impl From<QueryError> for Status {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Invalid { field, description } => {
                status::invalid_argument(&field, description)
            }
            QueryError::NotFound { kind, name } => status::not_found(kind, &name),
            QueryError::DeadlinePassed | QueryError::TimedOut(_) | QueryError::ClientStalled(_) => {
                status::deadline_exceeded(error.to_string())
            }
            QueryError::TooManySubscriptions(_) => {
                status::too_many(error.to_string(), SUBSCRIBE_AFTER)
            }
            QueryError::TooManyQueries | QueryError::ShuttingDown => {
                status::unavailable(error.to_string())
            }
            QueryError::Database(error) if db::is_unavailable(&error) => {
                tracing::warn!(%error, "the database is unavailable");
                status::unavailable("the database is unavailable")
            }
            QueryError::Database(error) => {
                tracing::error!(%error, "a query failed");
                status::internal()
            }
        }
    }
}

//! Connecting to the database, with timeouts.

use std::io;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::config::DatabaseConfig;

/// Maximum time for establishing a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Session settings by which the server ends sessions of clients that are gone, and releases their
/// locks. A session that is idle in a transaction ends after 5 s. One that the server sends to or
/// reads from ends when TCP keepalives fail. Neither applies to a client that is suspended but
/// still connected during a COPY; ingest-service ends such sessions itself.
const GONE_CLIENTS: [(&str, &str); 4] = [
    ("idle_in_transaction_session_timeout", "5s"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];

/// Additional settings of sessions that run queries. The data read is mostly in memory, where
/// random access costs no more than sequential access, and less than skipping rows of other series.
/// With the default costs, which are those of a disk, PostgreSQL reads all series of an interval to
/// answer a query for one, if there are only a few.
pub const READ_SETTINGS: [(&str, &str); 2] =
    [("seq_page_cost", "0.1"), ("random_page_cost", "0.1")];

/// Connects to the database. `name` is the application name in `pg_stat_activity`.
///
/// # Errors
/// The database is unavailable, refuses the connection or takes longer than 2 s.
pub async fn connect(database: &DatabaseConfig, name: &str) -> sqlx::Result<PgConnection> {
    within(CONNECT_TIMEOUT, options(database, name).connect()).await
}

/// Runs database work with a time limit. The work is dropped at the limit, so it must own its
/// connection: a connection interrupted in the middle of an operation cannot be reused.
///
/// # Errors
/// The error of the work, or a timeout.
pub async fn within<T>(
    limit: Duration,
    work: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(timed_out(limit)))
}

/// Returns the error for a database that did not respond in time.
#[must_use]
pub fn timed_out(limit: Duration) -> sqlx::Error {
    let sentence = format!("the database did not respond within {limit:?}");
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, sentence))
}

/// Returns connection options. `name` is the application name in `pg_stat_activity`.
#[must_use]
pub fn options(database: &DatabaseConfig, name: &str) -> PgConnectOptions {
    database.url.clone().application_name(name).options(GONE_CLIENTS)
}

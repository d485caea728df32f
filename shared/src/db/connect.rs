//! Connecting, within a bounded time.

use std::io;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::config::DatabaseConfig;

/// How long a connection may take to come up before it counts as failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How soon the server ends a session whose client is gone, and with it its locks: one that waits for its client in a
/// transaction after 5 s, one that is being sent to or read from as soon as TCP finds out. While the server waits for the
/// rows of a COPY, neither applies to a client that is stopped but connected: ingest-service ends such sessions itself.
const GONE_CLIENTS: [(&str, &str); 4] = [
    ("idle_in_transaction_session_timeout", "5s"),
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
];

/// What sessions that answer questions set besides: what is read is mostly in memory, where a page that the index points to
/// costs no more than its neighbour, and less than rows of other series that have to be passed over. With the usual costs,
/// which are those of a disk, PostgreSQL reads all series of an interval where one was asked for, if there are few.
pub const READ_SETTINGS: [(&str, &str); 2] =
    [("seq_page_cost", "0.1"), ("random_page_cost", "0.1")];

/// Connects under a name that `pg_stat_activity` shows.
///
/// # Errors
/// The database is away, slow or refuses.
pub async fn connect(database: &DatabaseConfig, name: &str) -> sqlx::Result<PgConnection> {
    within(CONNECT_TIMEOUT, options(database, name).connect()).await
}

/// Work with a database that must end in time. The work is dropped otherwise, so it has to own its connection: a connection
/// that was left in the middle of something is of no further use.
///
/// # Errors
/// Those of the work, or that time is up.
pub async fn within<T>(
    limit: Duration,
    work: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(timed_out(limit)))
}

/// The error of a database that did not answer in time.
#[must_use]
pub fn timed_out(limit: Duration) -> sqlx::Error {
    let sentence = format!("the database did not answer within {limit:?}");
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, sentence))
}

/// Options to connect with, under a name that `pg_stat_activity` shows.
#[must_use]
pub fn options(database: &DatabaseConfig, name: &str) -> PgConnectOptions {
    database.url.clone().application_name(name).options(GONE_CLIENTS)
}

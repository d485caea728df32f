//! Connecting, within a bounded time.

use std::io;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::config::DatabaseConfig;

/// How long a connection may take to come up before it counts as failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Connects under a name that `pg_stat_activity` shows.
///
/// # Errors
/// The database is away, slow or refuses.
pub async fn connect(database: &DatabaseConfig, name: &str) -> sqlx::Result<PgConnection> {
    let options = options(database, name);
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(connected) => connected,
        Err(_) => {
            let sentence = format!("no connection within {CONNECT_TIMEOUT:?}");
            Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, sentence)))
        }
    }
}

/// Options to connect with, under a name that `pg_stat_activity` shows.
#[must_use]
pub fn options(database: &DatabaseConfig, name: &str) -> PgConnectOptions {
    database.url.clone().application_name(name)
}

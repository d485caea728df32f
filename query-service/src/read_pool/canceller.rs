//! Cancels statements whose connections are already closed.

use std::time::Duration;

use shared::config::DatabaseConfig;
use shared::db;
use shared::telemetry::Statements;
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// The maximum time for one attempt, including connecting.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// A canceller with a connection of its own. PostgreSQL reads from a connection only between
/// statements, so a running statement can be cancelled only through another connection.
pub(super) struct Canceller {
    database: DatabaseConfig,
    statements: Statements,
    /// `None` before the first use and after a failure.
    connection: Mutex<Option<PgConnection>>,
}

impl Canceller {
    pub(super) fn new(database: DatabaseConfig, statements: Statements) -> Self {
        Self { database, statements, connection: Mutex::default() }
    }

    /// Cancels the statement that the backend runs, if any. The backend's connection must be
    /// closed: the cancel request may arrive late and must not hit another statement.
    pub(super) async fn cancel(&self, pid: i32) {
        let mut kept = self.connection.lock().await;
        let had_one = kept.is_some();
        let mut outcome = timeout(CANCEL_TIMEOUT, self.attempt(pid, kept.take())).await;
        if had_one && !matches!(outcome, Ok(Ok(_))) {
            // The old connection may have been stale: try again on a new one.
            outcome = timeout(CANCEL_TIMEOUT, self.attempt(pid, None)).await;
        }
        match outcome {
            Ok(Ok(connection)) => *kept = Some(connection),
            Ok(Err(error)) => tracing::warn!(pid, %error, "cannot cancel a statement"),
            Err(_) => tracing::warn!(pid, "cannot cancel a statement within {CANCEL_TIMEOUT:?}"),
        }
    }

    async fn attempt(&self, pid: i32, kept: Option<PgConnection>) -> sqlx::Result<PgConnection> {
        let mut connection = match kept {
            Some(connection) => connection,
            None => db::connect(&self.database, "tidegauge query cancel").await?,
        };
        let cancel =
            sqlx::query(include_str!("../sql/cancel.sql")).bind(pid).execute(&mut connection);
        self.statements.run("cancel", cancel).await?;
        Ok(connection)
    }
}

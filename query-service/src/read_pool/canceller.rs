//! Cancels statements of connections that are closed already.

use std::time::Duration;

use shared::config::DatabaseConfig;
use shared::db;
use shared::telemetry::Statements;
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long the database may take to take note.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Has a connection of its own: PostgreSQL looks at a connection only between statements, so a running one has to be
/// cancelled from elsewhere.
pub(super) struct Canceller {
    database: DatabaseConfig,
    statements: Statements,
    /// None before the first use and after a failure.
    connection: Mutex<Option<PgConnection>>,
}

impl Canceller {
    pub(super) fn new(database: DatabaseConfig, statements: Statements) -> Self {
        Self { database, statements, connection: Mutex::default() }
    }

    /// Cancels what the backend runs, if anything. The backend must serve no one any more: a cancel may be late.
    pub(super) async fn cancel(&self, pid: i32) {
        let mut kept = self.connection.lock().await;
        let had_one = kept.is_some();
        let mut outcome = timeout(CANCEL_TIMEOUT, self.attempt(pid, kept.take())).await;
        if had_one && !matches!(outcome, Ok(Ok(_))) {
            outcome = timeout(CANCEL_TIMEOUT, self.attempt(pid, None)).await; // the old connection may have been stale
        }
        match outcome {
            Ok(Ok(connection)) => *kept = Some(connection),
            Ok(Err(error)) => tracing::warn!(pid, %error, "a statement could not be cancelled"),
            Err(_) => {
                tracing::warn!(pid, "a statement could not be cancelled within {CANCEL_TIMEOUT:?}")
            }
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

//! Applies the migrations of `migrations/`. Safe with several processes at once.

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;

use super::edition::{Edition, EditionError, check_edition};
use crate::config::DatabaseConfig;

fn migrator() -> Migrator {
    sqlx::migrate!("../migrations")
}

/// Key of the advisory lock that lets only one process migrate at a time. Concurrent
/// `CREATE EXTENSION` statements would fail without it.
const LOCK_KEY: i64 = 0x7469_6465_6761_7567;

/// Reason why migrating failed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database is not supported.
    #[error(transparent)]
    Edition(#[from] EditionError),
    /// A migration failed.
    #[error(transparent)]
    Step(#[from] sqlx::migrate::MigrateError),
    /// The database did not respond.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl MigrateError {
    /// Returns whether the error is temporary, so that migrating may succeed later.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Edition(EditionError::Database(error)) | Self::Database(error) => {
                super::is_unavailable(error)
            }
            Self::Step(
                sqlx::migrate::MigrateError::Execute(error)
                | sqlx::migrate::MigrateError::ExecuteMigration(error, _),
            ) => super::is_unavailable(error),
            _ => false,
        }
    }
}

/// Creates the extension if it is missing, and applies all pending migrations. Running it again or
/// from several processes at once is safe.
///
/// # Errors
/// See [`MigrateError`].
pub async fn migrate(database: &DatabaseConfig) -> Result<Edition, MigrateError> {
    let mut connection = super::connect(database, "tidegauge migrate").await?;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK_KEY).execute(&mut connection).await?;
    check_edition(&mut connection).await?;
    sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS timescaledb").execute(&mut connection).await?;
    let edition = check_edition(&mut connection).await?;
    // The lock is already held. `Migrator::run` is not used because its future does not satisfy the
    // lifetime bounds of a spawned task.
    migrator().set_locking(false).run_direct(None, &mut connection, false).await?;
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK_KEY).execute(&mut connection).await?;
    Ok(edition)
}

/// Reason why the database cannot be used now.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The schema is missing or incomplete, or the database is not supported.
    #[error("{0}")]
    Schema(String),
    /// The database did not respond.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Checks that all migrations are applied.
///
/// # Errors
/// See [`ProbeError`].
pub async fn check_schema(connection: &mut PgConnection) -> Result<(), ProbeError> {
    let wanted = migrator().iter().map(|step| step.version).max().unwrap_or(0);
    let exists: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !exists {
        return Err(match check_edition(connection).await {
            Ok(_) => ProbeError::Schema(
                "the database has no schema; run: ingest-service migrate".to_owned(),
            ),
            Err(EditionError::Database(error)) => ProbeError::Database(error),
            Err(wrong) => ProbeError::Schema(wrong.to_string()),
        });
    }
    let found: i64 =
        sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
            .fetch_one(connection)
            .await?;
    if found < wanted {
        return Err(ProbeError::Schema(format!(
            "the database schema is at migration {found}, but {wanted} is required; \
             run: ingest-service migrate"
        )));
    }
    Ok(())
}

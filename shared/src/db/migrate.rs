//! Brings the schema of `migrations/` into a database, once, however many processes try.

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;

use super::edition::{Edition, EditionError, check_edition};
use crate::config::DatabaseConfig;

fn migrator() -> Migrator {
    sqlx::migrate!("../migrations")
}

/// Key of the advisory lock under which one process migrates at a time; the extension's creation is not safe otherwise.
const LOCK_KEY: i64 = 0x7469_6465_6761_7567;

/// Why a schema could not be brought in.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot serve.
    #[error(transparent)]
    Edition(#[from] EditionError),
    /// A step failed.
    #[error(transparent)]
    Step(#[from] sqlx::migrate::MigrateError),
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl MigrateError {
    /// Whether the database is away rather than wrong.
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

/// Creates the extension where it is missing and runs the steps that have not run. Safe to run twice and by several
/// processes at once.
///
/// # Errors
/// See [`MigrateError`].
pub async fn migrate(database: &DatabaseConfig) -> Result<Edition, MigrateError> {
    let mut connection = super::connect(database, "tidegauge migrate").await?;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK_KEY).execute(&mut connection).await?;
    check_edition(&mut connection).await?;
    sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS timescaledb").execute(&mut connection).await?;
    let edition = check_edition(&mut connection).await?;
    // The lock above is held already. `run` is not usable in a spawned task (its future is not general enough in lifetimes).
    migrator().set_locking(false).run_direct(None, &mut connection, false).await?;
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK_KEY).execute(&mut connection).await?;
    Ok(edition)
}

/// Why work cannot be done in a database now.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The schema is not (all) there.
    #[error("{0}")]
    Schema(String),
    /// The database did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Checks that every step has run.
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
            Ok(_) => {
                ProbeError::Schema("waiting for the schema: run: ingest-service migrate".to_owned())
            }
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
            "waiting for migration {wanted}: the database is at {found}; run: ingest-service migrate"
        )));
    }
    Ok(())
}

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

/// Message for a database with the steps of before the baseline. They have the same numbers.
const BEFORE_BASELINE: &str = "the schema of this database is from before the baseline of the \
    migrations and cannot be upgraded: migrate a new database and load the data into it, as \
    migrations/README.md (\"Databases from before the baseline\") and CHANGELOG.md say";

/// Reason why migrating failed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database is not supported.
    #[error(transparent)]
    Edition(#[from] EditionError),
    /// The schema was made by steps that the baseline replaced.
    #[error("{BEFORE_BASELINE}")]
    BeforeBaseline,
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
    if records_steps(&mut connection).await? && is_before_baseline(&mut connection).await? {
        return Err(MigrateError::BeforeBaseline);
    }
    // The lock is already held. `Migrator::run` is not used because its future does not satisfy the
    // lifetime bounds of a spawned task.
    migrator().set_locking(false).run_direct(None, &mut connection, false).await?;
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK_KEY).execute(&mut connection).await?;
    Ok(edition)
}

/// Returns whether the database records steps.
async fn records_steps(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(connection)
        .await
}

/// Returns whether the recorded first step is another one than that of the baseline, which never
/// changes. The database must record steps.
async fn is_before_baseline(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let steps = migrator();
    let Some(first) = steps.iter().next() else { return Ok(false) };
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM _sqlx_migrations WHERE version = $1 AND checksum <> $2)",
    )
    .bind(first.version)
    .bind(&*first.checksum)
    .fetch_one(connection)
    .await
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
    if !records_steps(connection).await? {
        return Err(match check_edition(connection).await {
            Ok(_) => ProbeError::Schema(
                "the database has no schema; run: ingest-service migrate".to_owned(),
            ),
            Err(EditionError::Database(error)) => ProbeError::Database(error),
            Err(wrong) => ProbeError::Schema(wrong.to_string()),
        });
    }
    if is_before_baseline(connection).await? {
        return Err(ProbeError::Schema(BEFORE_BASELINE.to_owned()));
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

//! Migrates the schema, for the subcommand `migrate` and for `TIDEGAUGE_MIGRATE`.

use std::time::Duration;

use shared::config::DatabaseConfig;
use shared::db::{self, MigrateError};

/// Time between two attempts while the database is unavailable.
const PAUSE: Duration = Duration::from_secs(1);

/// Migrates the schema. While the database is unavailable, tries again as long as `waits` returns
/// true for the error.
///
/// # Errors
/// Fails if the database refuses a migration, or if it is unavailable and `waits` returns false.
pub async fn migrate(
    database: &DatabaseConfig,
    mut waits: impl FnMut(&MigrateError) -> bool,
) -> Result<(), MigrateError> {
    loop {
        match db::migrate(database).await {
            Ok(edition) => {
                tracing::info!(
                    timescaledb = edition.timescaledb,
                    postgres = edition.postgres,
                    "schema is up to date"
                );
                return Ok(());
            }
            Err(error) if error.is_unavailable() && waits(&error) => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

//! One probe of the database: whether it is reachable, has the current schema and consistent
//! settings.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;

use super::{Cause, Readiness};
use crate::config::DatabaseConfig;
use crate::db;
use crate::history::Conflict;

/// Maximum time for a probe. It is long, so that a busy database does not count as unavailable; a
/// refused or broken connection fails at once.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval at which a ready service checks the settings.
const SETTINGS_INTERVAL: Duration = Duration::from_secs(10);

/// A probe with a connection of its own, so that an exhausted pool or a long flush does not look
/// like an outage.
pub(super) struct Probe {
    database: DatabaseConfig,
    connection: Option<PgConnection>,
    /// Maximum age of accepted points. `None` in a service that accepts no points.
    oldest_accepted: Option<Duration>,
    /// Time of the last check of the settings.
    settings_read: Option<Instant>,
    conflicts: Vec<Conflict>,
    /// Whether the service was ready before. If so, conflicts do not make it unready.
    was_ready: bool,
}

impl Probe {
    pub(super) fn new(database: DatabaseConfig, oldest_accepted: Option<Duration>) -> Self {
        Self {
            database,
            connection: None,
            oldest_accepted,
            settings_read: None,
            conflicts: Vec::new(),
            was_ready: false,
        }
    }

    /// Probes the database once.
    pub(super) async fn run(&mut self) -> Readiness {
        let found = match tokio::time::timeout(PROBE_TIMEOUT, self.check()).await {
            Ok(Ok(())) => match self.conflicts.first().filter(|_| !self.was_ready) {
                Some(Conflict { sentence, .. }) => {
                    Readiness::Waiting { cause: Cause::Settings, sentence: sentence.clone() }
                }
                None => Readiness::Ready,
            },
            Ok(Err(db::ProbeError::Schema(sentence))) => {
                Readiness::Waiting { cause: Cause::Schema, sentence }
            }
            Ok(Err(db::ProbeError::Database(error))) => self.away(&error.to_string()),
            Err(_) => self.away(&format!("no response within {PROBE_TIMEOUT:?}")),
        };
        self.was_ready |= found == Readiness::Ready;
        found
    }

    /// Returns the conflicting settings found by the last check.
    pub(super) fn conflicts(&self) -> &[Conflict] {
        &self.conflicts
    }

    async fn check(&mut self) -> Result<(), db::ProbeError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => db::connect(&self.database, "tidegauge readiness").await?,
        };
        db::check_schema(&mut connection).await?;
        if let Some(oldest_accepted) = self.oldest_accepted.filter(|_| self.settings_are_due()) {
            self.conflicts = db::history(&mut connection).await?.conflicts(oldest_accepted);
            self.settings_read = Some(Instant::now());
        }
        // Kept only after success: a broken or interrupted connection must not be used again.
        self.connection = Some(connection);
        Ok(())
    }

    /// Returns whether to check the settings: in every probe until the service is ready, then at
    /// intervals.
    fn settings_are_due(&self) -> bool {
        !self.was_ready || self.settings_read.is_none_or(|read| read.elapsed() >= SETTINGS_INTERVAL)
    }

    fn away(&self, why: &str) -> Readiness {
        let sentence = format!("waiting for the database at {}: {why}", self.database.address());
        Readiness::Waiting { cause: Cause::DatabaseAway, sentence }
    }
}

//! One look at the database: whether it is there, with its schema and with settings that go together.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;

use super::{Cause, Readiness};
use crate::config::DatabaseConfig;
use crate::db;
use crate::history::Conflict;

/// A busy database is not one that is away: a refused or broken connection shows at once, a slow answer only after this.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a service that is ready looks at the settings.
const SETTINGS_INTERVAL: Duration = Duration::from_secs(10);

/// One connection of its own, so that a full pool or a long flush does not look like an outage.
pub(super) struct Probe {
    database: DatabaseConfig,
    connection: Option<PgConnection>,
    /// Up to which age points are accepted, by a service that does.
    oldest_accepted: Option<Duration>,
    /// When the settings were read last.
    settings_read: Option<Instant>,
    conflicts: Vec<Conflict>,
    /// Whether the service was ready before: then conflicts do not stop it.
    was_ready: bool,
}

impl Probe {
    pub(super) fn new(database: DatabaseConfig, oldest_accepted: Option<Duration>) -> Self {
        let (connection, settings_read, conflicts) = (None, None, Vec::new());
        Self { database, connection, oldest_accepted, settings_read, conflicts, was_ready: false }
    }

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
            Err(_) => self.away(&format!("no answer within {PROBE_TIMEOUT:?}")),
        };
        self.was_ready |= found == Readiness::Ready;
        found
    }

    /// Settings that do not go together, as of the last look at them.
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
        self.connection = Some(connection); // only after success: a broken or cancelled one is not used again
        Ok(())
    }

    /// At every look before the service is ready, later at intervals.
    fn settings_are_due(&self) -> bool {
        !self.was_ready || self.settings_read.is_none_or(|read| read.elapsed() >= SETTINGS_INTERVAL)
    }

    fn away(&self, why: &str) -> Readiness {
        let sentence = format!("waiting for the database at {}: {why}", self.database.address());
        Readiness::Waiting { cause: Cause::DatabaseAway, sentence }
    }
}

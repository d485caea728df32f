//! Whether work can be done now: watches the database, tells health checks, and says what is waited for.

use std::time::Duration;

use sqlx::postgres::PgConnection;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::config::DatabaseConfig;
use crate::db;

const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// A busy database is not one that is away: a refused or broken connection shows at once, a slow answer only after this.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// What a service can do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing.
    Waiting {
        /// In one word.
        cause: Cause,
        /// Says what is waited for.
        sentence: String,
    },
    /// Its work.
    Ready,
}

/// Why no work can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The database has not been asked yet, or does not answer.
    DatabaseAway,
    /// The database answers, but is not one to work with: a migration is missing, or it is of the wrong edition.
    Schema,
    /// The service ends.
    ShuttingDown,
}

impl Cause {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::DatabaseAway, Self::Schema, Self::ShuttingDown];

    /// As logs and metrics have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DatabaseAway => "database_away",
            Self::Schema => "schema",
            Self::ShuttingDown => "shutting_down",
        }
    }
}

/// Whether work can be done now, for any number of readers.
#[derive(Clone, Debug)]
pub struct ReadinessHandle(watch::Receiver<Readiness>);

impl ReadinessHandle {
    /// What holds now.
    #[must_use]
    pub fn now(&self) -> Readiness {
        self.0.borrow().clone()
    }
}

/// Watches the database until the token is cancelled. `services` are the names that health checks ask for; they and ""
/// are NOT_SERVING when this returns, which must be before listening.
pub async fn watch(
    database: DatabaseConfig,
    health: HealthReporter,
    services: &'static [&'static str],
    shutdown: CancellationToken,
) -> ReadinessHandle {
    let sentence = format!("waiting for the database at {}", database.address());
    let waiting = Readiness::Waiting { cause: Cause::DatabaseAway, sentence };
    let (sender, receiver) = watch::channel(waiting);
    report(&health, services, ServingStatus::NotServing).await;
    let ending = Readiness::Waiting { cause: Cause::ShuttingDown, sentence: "shutting down".to_owned() };
    tokio::spawn(async move {
        let mut probe = Probe { database, connection: None };
        while let Some(found) = shutdown.run_until_cancelled(probe.run()).await {
            if *sender.borrow() != found {
                match &found {
                    Readiness::Ready => tracing::info!("ready"),
                    Readiness::Waiting { cause, sentence } => {
                        tracing::warn!(reason = cause.name(), "not ready: {sentence}");
                    }
                }
                let status = if found == Readiness::Ready { ServingStatus::Serving } else { ServingStatus::NotServing };
                report(&health, services, status).await;
                sender.send_replace(found);
            }
            if shutdown.run_until_cancelled(tokio::time::sleep(PROBE_INTERVAL)).await.is_none() {
                break;
            }
        }
        report(&health, services, ServingStatus::NotServing).await;
        sender.send_replace(ending);
    });
    ReadinessHandle(receiver)
}

async fn report(health: &HealthReporter, services: &[&str], status: ServingStatus) {
    health.set_service_status("", status).await;
    for service in services {
        health.set_service_status(service, status).await;
    }
}

/// One connection of its own, so that a full pool or a long flush does not look like an outage.
struct Probe {
    database: DatabaseConfig,
    connection: Option<PgConnection>,
}

impl Probe {
    async fn run(&mut self) -> Readiness {
        match tokio::time::timeout(PROBE_TIMEOUT, self.check()).await {
            Ok(Ok(())) => Readiness::Ready,
            Ok(Err(db::ProbeError::Schema(sentence))) => Readiness::Waiting { cause: Cause::Schema, sentence },
            Ok(Err(db::ProbeError::Database(error))) => self.away(&error.to_string()),
            Err(_) => self.away(&format!("no answer within {PROBE_TIMEOUT:?}")),
        }
    }

    async fn check(&mut self) -> Result<(), db::ProbeError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => db::connect(&self.database, "tidegauge readiness").await?,
        };
        db::check_schema(&mut connection).await?;
        self.connection = Some(connection); // only after success: a broken or cancelled one is not used again
        Ok(())
    }

    fn away(&self, why: &str) -> Readiness {
        let sentence = format!("waiting for the database at {}: {why}", self.database.address());
        Readiness::Waiting { cause: Cause::DatabaseAway, sentence }
    }
}

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
    /// Nothing; the sentence says what is waited for.
    Waiting(String),
    /// Its work.
    Ready,
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
    let waiting = Readiness::Waiting(format!("waiting for the database at {}", database.address()));
    let (sender, receiver) = watch::channel(waiting);
    report(&health, services, ServingStatus::NotServing).await;
    tokio::spawn(async move {
        let mut probe = Probe { database, connection: None };
        while let Some(found) = shutdown.run_until_cancelled(probe.run()).await {
            if *sender.borrow() != found {
                match &found {
                    Readiness::Ready => tracing::info!("ready"),
                    Readiness::Waiting(reason) => tracing::warn!(reason, "not ready"),
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
        sender.send_replace(Readiness::Waiting("shutting down".to_owned()));
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
            Ok(Err(db::ProbeError::Schema(sentence))) => Readiness::Waiting(sentence),
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
        Readiness::Waiting(format!("waiting for the database at {}: {why}", self.database.address()))
    }
}

//! Readiness of a service: probes the database, updates the health checks, and keeps the reason for
//! not being ready.

mod probe;

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::config::DatabaseConfig;
use crate::history::Conflict;

use probe::Probe;

/// Pause between two probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Whether a service can do its work now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The service cannot work yet.
    Waiting {
        /// Reason in machine-readable form.
        cause: Cause,
        /// Reason in readable form.
        sentence: String,
    },
    /// The service can work.
    Ready,
}

/// Reason why a service is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The database was not probed yet, or does not respond.
    DatabaseAway,
    /// The database responds but cannot be used: a migration is missing, or its edition is not
    /// supported.
    Schema,
    /// Settings of the database conflict with those of the service. Only used at start: a service
    /// that was ready once continues to run, and reports [`ReadinessHandle::conflicts`].
    Settings,
    /// The service is shutting down.
    ShuttingDown,
}

impl Cause {
    /// All reasons.
    pub const ALL: [Self; 4] =
        [Self::DatabaseAway, Self::Schema, Self::Settings, Self::ShuttingDown];

    /// Returns the name used in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DatabaseAway => "database_away",
            Self::Schema => "schema",
            Self::Settings => "settings",
            Self::ShuttingDown => "shutting_down",
        }
    }
}

/// Read access to the current readiness. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReadinessHandle {
    readiness: watch::Receiver<Readiness>,
    conflicts: watch::Receiver<Vec<Conflict>>,
}

impl ReadinessHandle {
    /// Returns the current readiness.
    #[must_use]
    pub fn now(&self) -> Readiness {
        self.readiness.borrow().clone()
    }

    /// Returns the conflicting settings, as of the last check some seconds ago.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Conflict> {
        self.conflicts.borrow().clone()
    }
}

/// Probes the database in the background until the token is cancelled, and returns a handle to the
/// result.
///
/// `services` are the service names of the health checks. They and "" are NOT_SERVING when this
/// function returns, so it must be called before listening. With `oldest_accepted`, the maximum age
/// of accepted points, the service does not become ready until the settings of the database match
/// it.
pub async fn watch(
    database: DatabaseConfig,
    health: HealthReporter,
    services: &'static [&'static str],
    oldest_accepted: Option<Duration>,
    shutdown: CancellationToken,
) -> ReadinessHandle {
    let sentence = format!("waiting for the database at {}", database.address());
    let waiting = Readiness::Waiting { cause: Cause::DatabaseAway, sentence };
    let (sender, readiness) = watch::channel(waiting);
    let (conflicts_sender, conflicts) = watch::channel(Vec::new());
    report(&health, services, ServingStatus::NotServing).await;
    let ending =
        Readiness::Waiting { cause: Cause::ShuttingDown, sentence: "shutting down".to_owned() };
    tokio::spawn(async move {
        let mut probe = Probe::new(database, oldest_accepted);
        while let Some(found) = shutdown.run_until_cancelled(probe.run()).await {
            tell_conflicts(&conflicts_sender, probe.conflicts(), &found);
            if *sender.borrow() != found {
                match &found {
                    Readiness::Ready => tracing::info!("ready"),
                    Readiness::Waiting { cause, sentence } => {
                        tracing::warn!(reason = cause.name(), "not ready: {sentence}");
                    }
                }
                let status = if found == Readiness::Ready {
                    ServingStatus::Serving
                } else {
                    ServingStatus::NotServing
                };
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
    ReadinessHandle { readiness, conflicts }
}

/// Publishes the conflicts, and logs new ones if the service is ready. At start, they are the
/// logged reason for not being ready instead.
fn tell_conflicts(
    sender: &watch::Sender<Vec<Conflict>>,
    found: &[Conflict],
    readiness: &Readiness,
) {
    let before = sender.borrow().clone();
    if before == found {
        return;
    }
    for conflict in
        found.iter().filter(|conflict| *readiness == Readiness::Ready && !before.contains(conflict))
    {
        tracing::warn!(pair = conflict.pair.name(), "unsafe settings: {}", conflict.sentence);
    }
    if found.is_empty() {
        tracing::info!("the settings of the database are consistent again");
    }
    sender.send_replace(found.to_vec());
}

async fn report(health: &HealthReporter, services: &[&str], status: ServingStatus) {
    health.set_service_status("", status).await;
    for service in services {
        health.set_service_status(service, status).await;
    }
}

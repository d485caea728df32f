//! Whether work can be done now: watches the database, tells health checks, and says what is waited for.

mod probe;

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::config::DatabaseConfig;
use crate::history::Conflict;

use probe::Probe;

const PROBE_INTERVAL: Duration = Duration::from_secs(1);

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
    /// Settings of the database do not go together with those of the service. It says so at the start only: a service that once was
    /// ready goes on, and tells of [`ReadinessHandle::conflicts`].
    Settings,
    /// The service ends.
    ShuttingDown,
}

impl Cause {
    /// All there are.
    pub const ALL: [Self; 4] =
        [Self::DatabaseAway, Self::Schema, Self::Settings, Self::ShuttingDown];

    /// As logs and metrics have it.
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

/// Whether work can be done now, for any number of readers.
#[derive(Clone, Debug)]
pub struct ReadinessHandle {
    readiness: watch::Receiver<Readiness>,
    conflicts: watch::Receiver<Vec<Conflict>>,
}

impl ReadinessHandle {
    /// What holds now.
    #[must_use]
    pub fn now(&self) -> Readiness {
        self.readiness.borrow().clone()
    }

    /// Returns the settings that do not go together, as of some seconds ago.
    #[must_use]
    pub fn conflicts(&self) -> Vec<Conflict> {
        self.conflicts.borrow().clone()
    }
}

/// Watches the database until the token is cancelled. `services` are the names that health checks ask for; they and ""
/// are NOT_SERVING when this returns, which must be before listening. A service that accepts points up to an age gives it, and is
/// not ready before the settings of the database go with it.
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

/// Passes conflicts on, and logs each once that arises while the service is ready. At the start they are the reason for not being
/// ready.
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
        tracing::info!("the settings of the database go together again");
    }
    sender.send_replace(found.to_vec());
}

async fn report(health: &HealthReporter, services: &[&str], status: ServingStatus) {
    health.set_service_status("", status).await;
    for service in services {
        health.set_service_status(service, status).await;
    }
}

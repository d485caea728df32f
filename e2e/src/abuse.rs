//! What must not get in, and what must not get in the way: both services, as programs with TLS and identities, and whoever
//! knocks. Each case says what was expected and what was seen.

mod access;
mod asking;
mod authority;
mod caller;
mod certificates;
mod connections;
mod guard;
mod handshakes;
mod program;
mod replacement;

use std::path::PathBuf;
use std::time::Duration;

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is abused.
#[derive(Clone, Debug)]
pub struct Setting {
    /// A database with the schema in it.
    pub database_url: String,
    /// The program ingest-service.
    pub ingest_service: PathBuf,
    /// The program query-service.
    pub query_service: PathBuf,
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its name.
    pub case: &'static str,
    /// What should happen.
    pub expected: String,
    /// What happened.
    pub seen: String,
    /// Whether the two are the same.
    pub ok: bool,
}

impl Outcome {
    /// Of what must be exactly so.
    fn exactly(case: &'static str, expected: impl Into<String>, seen: impl Into<String>) -> Self {
        let (expected, seen) = (expected.into(), seen.into());
        Self { case, ok: expected == seen, expected, seen }
    }
}

/// Cases that share a pair of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Keys: none, wrong ones, and those of others.
    Access,
    /// Client certificates.
    Certificates,
    /// TLS handshakes that are slow, or none.
    Handshakes,
    /// Certificate and identities replaced under load.
    Replacement,
    /// More connections than there may be.
    Connections,
}

impl Group {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 5] =
        [Self::Access, Self::Certificates, Self::Handshakes, Self::Replacement, Self::Connections];

    /// For reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Certificates => "certificates",
            Self::Handshakes => "handshakes",
            Self::Replacement => "replacement",
            Self::Connections => "connections",
        }
    }
}

impl Setting {
    /// Tries the cases of a group.
    ///
    /// # Errors
    /// A case could not be brought about.
    pub async fn run(&self, group: Group) -> anyhow::Result<Vec<Outcome>> {
        match group {
            Group::Access => access::run(self).await,
            Group::Certificates => certificates::run(self).await,
            Group::Handshakes => handshakes::run(self).await,
            Group::Replacement => replacement::run(self).await,
            Group::Connections => connections::run(self).await,
        }
    }
}

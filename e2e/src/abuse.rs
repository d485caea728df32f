//! Abuse of both services, run as programs with TLS and identities: calls without permission, and
//! callers that get in the way of others. Each case reports what was expected and what was seen.

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

/// Time limit for a condition.
const PATIENCE: Duration = Duration::from_secs(60);

/// The services under abuse, and their database.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Address of a database that has the schema.
    pub database_url: String,
    /// Path of the ingest-service binary.
    pub ingest_service: PathBuf,
    /// Path of the query-service binary.
    pub query_service: PathBuf,
}

/// Result of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Name of the case.
    pub case: &'static str,
    /// Expected result.
    pub expected: String,
    /// Observed result.
    pub seen: String,
    /// Whether the observed result is acceptable.
    pub ok: bool,
}

impl Outcome {
    /// Returns the result of a case that passes only if both texts are equal.
    fn exactly(case: &'static str, expected: impl Into<String>, seen: impl Into<String>) -> Self {
        let expected = expected.into();
        let seen = seen.into();
        Self { case, ok: expected == seen, expected, seen }
    }
}

/// A group of cases that share a pair of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Keys: none, wrong ones, and those of others.
    Access,
    /// Client certificates.
    Certificates,
    /// TLS handshakes that are slow or invalid.
    Handshakes,
    /// Replacement of certificate and identities under load.
    Replacement,
    /// More connections than the service allows.
    Connections,
}

impl Group {
    /// All groups, in the order of the report.
    pub const ALL: [Self; 5] =
        [Self::Access, Self::Certificates, Self::Handshakes, Self::Replacement, Self::Connections];

    /// Returns the name that reports use.
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
    /// Runs the cases of a group.
    ///
    /// # Errors
    /// Fails if a case could not be set up.
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

//! Identities of callers and their permissions.

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use tonic::{Extensions, Status};

use super::DevicePrefixes;
use crate::status;

/// A service that an identity may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// IngestService.
    Ingest,
    /// QueryService.
    Query,
}

/// An authenticated caller with its permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name for logs and metrics; unique among the identities.
    pub name: String,
    /// Services that it may call.
    pub scopes: Vec<Scope>,
    /// Devices that it may write or read.
    pub devices: DevicePrefixes,
    /// Required prefix of its producer ids. `None`: it cannot send numbered batches.
    pub producer_prefix: Option<String>,
    /// Time from which it is refused. `None`: never.
    pub expires: Option<DateTime<Utc>>,
    /// Limits that replace those of the configuration.
    pub limits: ClientLimits,
}

/// Limits of one identity. A limit that is not set falls back to the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientLimits {
    /// Replaces `TIDEGAUGE_CLIENT_MAX_CALLS`.
    pub max_calls: Option<NonZeroUsize>,
    /// Replaces `TIDEGAUGE_CLIENT_MESSAGES_PER_SECOND`.
    pub messages_per_second: Option<NonZeroUsize>,
    /// Replaces `TIDEGAUGE_CLIENT_POINTS_PER_SECOND`.
    pub points_per_second: Option<NonZeroUsize>,
    /// Replaces `TIDEGAUGE_NEW_SERIES_PER_MINUTE`.
    pub new_series_per_minute: Option<NonZeroUsize>,
    /// Replaces `TIDEGAUGE_CLIENT_MAX_BYTES_IN_FLIGHT`.
    pub max_bytes_in_flight: Option<NonZeroUsize>,
}

impl Identity {
    /// Returns the identity of every caller if authentication is off. It has all permissions.
    #[must_use]
    pub fn anyone() -> Arc<Self> {
        static ANYONE: LazyLock<Arc<Identity>> = LazyLock::new(|| {
            Arc::new(Identity {
                name: "anyone".to_owned(),
                scopes: vec![Scope::Ingest, Scope::Query],
                devices: DevicePrefixes::all(),
                producer_prefix: Some(String::new()),
                expires: None,
                limits: ClientLimits::default(),
            })
        });
        Arc::clone(&ANYONE)
    }

    /// Returns whether this is the identity used without authentication.
    #[must_use]
    pub fn is_anyone(self: &Arc<Self>) -> bool {
        Arc::ptr_eq(self, &Self::anyone())
    }
}

/// Returns the caller's identity, which the access layer stored in the request's extensions.
///
/// # Errors
/// INTERNAL if the call did not pass through that layer. The handler must then refuse it.
pub fn identity(extensions: &Extensions) -> Result<Arc<Identity>, Status> {
    extensions.get::<Arc<Identity>>().cloned().ok_or_else(|| {
        tracing::error!("call without an identity: it bypassed the access layer");
        status::internal()
    })
}

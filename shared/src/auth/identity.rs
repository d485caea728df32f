//! Who calls, and what they may do.

use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use tonic::{Extensions, Status};

use super::DevicePrefixes;
use crate::status;

/// Which service an identity may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// IngestService.
    Ingest,
    /// QueryService.
    Query,
}

/// Who calls, and what they may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// For logs; unique among the identities.
    pub name: String,
    /// Which services it may call.
    pub scopes: Vec<Scope>,
    /// Which devices it may write or read.
    pub devices: DevicePrefixes,
    /// With what the ids of its producers begin; none where it may send no numbered batches.
    pub producer_prefix: Option<String>,
    /// From when on it is refused.
    pub expires: Option<DateTime<Utc>>,
    /// How much it may take, where that is not what every client may.
    pub limits: ClientLimits,
}

/// Limits of an identity of its own; where one is not set, that of the configuration holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientLimits {
    /// In place of `TIDEGAUGE_CLIENT_MAX_CALLS`.
    pub max_calls: Option<NonZeroUsize>,
    /// In place of `TIDEGAUGE_CLIENT_MESSAGES_PER_SECOND`.
    pub messages_per_second: Option<NonZeroUsize>,
    /// In place of `TIDEGAUGE_CLIENT_POINTS_PER_SECOND`.
    pub points_per_second: Option<NonZeroUsize>,
    /// In place of `TIDEGAUGE_NEW_SERIES_PER_MINUTE`.
    pub new_series_per_minute: Option<NonZeroUsize>,
    /// In place of `TIDEGAUGE_CLIENT_MAX_BYTES_IN_FLIGHT`.
    pub max_bytes_in_flight: Option<NonZeroUsize>,
}

impl Identity {
    /// Whoever calls where authentication is off: may do everything.
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

    /// Whether nobody in particular calls.
    #[must_use]
    pub fn is_anyone(self: &Arc<Self>) -> bool {
        Arc::ptr_eq(self, &Self::anyone())
    }
}

/// Who makes a call: what the access layer found.
///
/// # Errors
/// The call did not come through that layer. Nothing may be done for it then.
pub fn identity(extensions: &Extensions) -> Result<Arc<Identity>, Status> {
    extensions.get::<Arc<Identity>>().cloned().ok_or_else(|| {
        tracing::error!("a call without an identity: it did not come through the access layer");
        status::internal()
    })
}

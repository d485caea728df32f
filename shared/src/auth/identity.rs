//! Who calls, and what they may do.

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

/// Who calls, and what they may do. The place for limits of an identity as well.
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
            })
        });
        Arc::clone(&ANYONE)
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

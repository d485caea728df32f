//! The error for a client that reached a limit.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, QuotaViolation};

use crate::status;

/// A limit of a client or of all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Open calls per client.
    Calls,
    /// Messages per client and second.
    Messages,
    /// Points or rows per client and second.
    Points,
    /// New series per client and minute.
    NewSeries,
    /// Bytes in flight per client.
    BytesInFlight,
    /// Bytes in flight of all clients.
    AllBytesInFlight,
    /// Time to wait for a complete message.
    MessageTimeout,
}

impl Limit {
    /// All limits.
    pub const ALL: [Self; 7] = [
        Self::Calls,
        Self::Messages,
        Self::Points,
        Self::NewSeries,
        Self::BytesInFlight,
        Self::AllBytesInFlight,
        Self::MessageTimeout,
    ];

    /// Returns whether other devices behind the same address may have contributed to reaching it.
    pub(super) fn is_shared(self) -> bool {
        !matches!(self, Self::MessageTimeout)
    }

    /// Returns the name used in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Messages => "messages",
            Self::Points => "points",
            Self::NewSeries => "new_series",
            Self::BytesInFlight => "bytes_in_flight",
            Self::AllBytesInFlight => "all_bytes_in_flight",
            Self::MessageTimeout => "message_timeout",
        }
    }
}

/// Error: a client reached a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct OverLimit {
    /// The limit.
    pub limit: Limit,
    /// The client, as `identity:NAME` or `clientip:ADDRESS`.
    pub client: Arc<str>,
    /// Message that names the client, the limit and its value.
    pub sentence: String,
    /// Time after which a retry may succeed.
    pub retry_after: Duration,
}

impl OverLimit {
    /// Converts the error into RESOURCE_EXHAUSTED with `QuotaFailure` and `RetryInfo`. `prefix`
    /// goes before the message and says where in a stream the error happened.
    #[must_use]
    pub fn into_status(self, prefix: &str) -> Status {
        let message = format!("{prefix}{}", self.sentence);
        let mut details = ErrorDetails::with_quota_failure(vec![QuotaViolation::new(
            &*self.client,
            self.sentence,
        )]);
        details.set_retry_info(Some(self.retry_after));
        status::with_details(Code::ResourceExhausted, message, details)
    }
}

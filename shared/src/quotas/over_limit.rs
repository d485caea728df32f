//! A limit that was reached, and the status that says so.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, QuotaViolation};

use crate::status;

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Open calls of one client.
    Calls,
    /// Messages a second of one client.
    Messages,
    /// Points or rows a second of one client.
    Points,
    /// Series that one client creates in a minute.
    NewSeries,
    /// Bytes in flight of one client.
    BytesInFlight,
    /// Bytes in flight of all.
    AllBytesInFlight,
    /// How long a call waits for a message.
    MessageTimeout,
}

impl Limit {
    /// All there are.
    pub const ALL: [Self; 7] = [
        Self::Calls,
        Self::Messages,
        Self::Points,
        Self::NewSeries,
        Self::BytesInFlight,
        Self::AllBytesInFlight,
        Self::MessageTimeout,
    ];

    /// Whether others that are taken for the same client may have reached it.
    pub(super) fn is_shared(self) -> bool {
        !matches!(self, Self::MessageTimeout)
    }

    /// As metrics have it.
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

/// A client is over a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct OverLimit {
    /// Which.
    pub limit: Limit,
    /// Whose, as `identity:NAME` or `clientip:ADDRESS`.
    pub client: Arc<str>,
    /// Names the limit and its value.
    pub sentence: String,
    /// When it is worth trying again.
    pub retry_after: Duration,
}

impl OverLimit {
    /// RESOURCE_EXHAUSTED with `QuotaFailure` and `RetryInfo`; `prefix` says where in a stream it happened.
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

//! Who makes a call, and what it may send.

use std::sync::Arc;
use std::time::Duration;

use shared::auth::Identity;
use shared::quotas::CallQuota;
use tokio_util::sync::CancellationToken;

use crate::error::BatchError;

/// Who makes a call.
pub(super) struct Caller {
    pub(super) identity: Arc<Identity>,
    pub(super) quota: CallQuota,
    /// How long a batch should take at most; without it, it waits for room for as long as that takes.
    pub(super) patience: Option<Duration>,
    pub(super) shutdown: CancellationToken,
}

impl Caller {
    /// Waits until the client may send so many points, or refuses them. What still waits when the service ends was not taken.
    pub(super) async fn may_send(&self, points: usize) -> Result<(), BatchError> {
        match self.shutdown.run_until_cancelled(self.quota.points(points)).await {
            Some(told) => told.map_err(BatchError::OverLimit),
            None => Err(BatchError::shutting_down()),
        }
    }
}

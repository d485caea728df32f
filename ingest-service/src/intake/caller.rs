//! The caller of a call, with its identity and quota.

use std::sync::Arc;
use std::time::Duration;

use shared::auth::Identity;
use shared::quotas::CallQuota;
use tokio_util::sync::CancellationToken;

use crate::error::BatchError;

/// The caller of a call.
pub(crate) struct Caller {
    pub(crate) identity: Arc<Identity>,
    pub(crate) quota: CallQuota,
    /// Time that a batch should take at most. Without it, a batch waits for a permit without limit.
    pub(crate) timeout: Option<Duration>,
    pub(crate) shutdown: CancellationToken,
}

impl Caller {
    /// Waits until the client's quota admits this number of points, or refuses them. A batch that
    /// still waits at shutdown is refused.
    pub(crate) async fn wait_for_quota(&self, points: usize) -> Result<(), BatchError> {
        match self.shutdown.run_until_cancelled(self.quota.points(points)).await {
            Some(admitted) => admitted.map_err(BatchError::OverLimit),
            None => Err(BatchError::shutting_down()),
        }
    }
}

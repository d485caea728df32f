//! Reports new anomalies as points arrive. A subscription repeatedly reads the newest points of all
//! its series and remembers which anomalies it has reported.
//!
//! The database does not record when a point arrived. So the points outside their bounds are read
//! repeatedly, as far back as a point may be late. Only the reported anomalies are remembered,
//! not all points that were read; there are few of them.

mod position;
mod subscription;

use std::sync::Arc;
use std::time::Duration;

use shared::time::MICROS_PER_SECOND;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::config::QueryConfig;
use crate::error::QueryError;

pub(crate) use position::WatchPosition;
pub(crate) use subscription::Subscription;

/// How late a point may arrive, in microseconds, and still be reported.
const MAX_LATENESS: i64 = 10 * 60 * MICROS_PER_SECOND;
/// The minimum time between two scans, which keeps a subscription from scanning all the time.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// The limits and settings that all subscriptions of the service share.
#[derive(Clone)]
pub(crate) struct Watchers {
    /// The pause between two scans.
    pub(crate) interval: Duration,
    /// The age at which a subscription ends.
    pub(crate) max_age: Duration,
    /// Ends every subscription.
    pub(crate) shutdown: CancellationToken,
    /// Limits scans to half of the connections, so that some are left for queries.
    scans: Arc<Semaphore>,
    /// Limits the number of subscriptions.
    subscriptions: Arc<Semaphore>,
    /// The maximum number of subscriptions.
    max_subscriptions: usize,
}

impl Watchers {
    pub(crate) fn new(config: &QueryConfig, shutdown: CancellationToken) -> Self {
        let max_subscriptions = config.watch_subscriptions.get();
        let connections = config.database_connections.get();
        Self {
            interval: config.watch_interval.max(MIN_INTERVAL),
            max_age: config.server.stream_max_age,
            shutdown,
            scans: Arc::new(Semaphore::new((connections / 2).clamp(1, Semaphore::MAX_PERMITS))),
            subscriptions: Arc::new(Semaphore::new(max_subscriptions.min(Semaphore::MAX_PERMITS))),
            max_subscriptions,
        }
    }

    /// Acquires a permit for one subscription. The subscription holds it until it ends.
    ///
    /// # Errors
    /// Returns an error if the limit is reached, or if the service is shutting down.
    pub(crate) fn acquire_subscription(&self) -> Result<OwnedSemaphorePermit, QueryError> {
        if self.shutdown.is_cancelled() {
            return Err(QueryError::ShuttingDown);
        }
        Arc::clone(&self.subscriptions)
            .try_acquire_owned()
            .map_err(|_| QueryError::TooManySubscriptions(self.max_subscriptions))
    }

    /// Waits for a permit to use a connection.
    async fn acquire_scan(&self) -> Result<OwnedSemaphorePermit, QueryError> {
        // The semaphore is never closed, so that this cannot fail.
        Arc::clone(&self.scans).acquire_owned().await.map_err(|_| QueryError::ShuttingDown)
    }
}

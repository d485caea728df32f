//! Tells of new anomalies as points arrive: looks at the newest points of all series of a subscription again and again, and
//! remembers what it has told.
//!
//! There is no trace of when a point arrived, so the points that lie outside their bounds are read again and again as far back
//! as late points are looked for. What is kept is not what was seen but what was told, which is little.

mod baselines;
mod position;
mod subscription;

use std::sync::Arc;
use std::time::Duration;

use shared::time::MICROS_PER_SECOND;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::config::QueryConfig;
use crate::error::QueryError;

pub(crate) use position::Position;
pub(crate) use subscription::Subscription;

/// How late a point may be and still be told of.
const LOOK_BACK: i64 = 10 * 60 * MICROS_PER_SECOND;
/// A shorter pause would be all work.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// What the subscriptions of a service share.
#[derive(Clone)]
pub(crate) struct Watchers {
    /// Pause between two looks.
    pub(crate) interval: Duration,
    /// Age at which a subscription ends.
    pub(crate) max_age: Duration,
    /// Ends every subscription.
    pub(crate) shutdown: CancellationToken,
    /// At most half of the connections look for anomalies at once, so that queries find one.
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
    most: usize,
}

impl Watchers {
    pub(crate) fn new(config: &QueryConfig, shutdown: CancellationToken) -> Self {
        let (most, connections) =
            (config.watch_subscriptions.get(), config.database_connections.get());
        Self {
            interval: config.watch_interval.max(SHORTEST_INTERVAL),
            max_age: config.server.stream_max_age,
            shutdown,
            turns: Arc::new(Semaphore::new((connections / 2).clamp(1, Semaphore::MAX_PERMITS))),
            places: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            most,
        }
    }

    /// A place among the subscriptions, until it is dropped.
    pub(crate) fn place(&self) -> Result<OwnedSemaphorePermit, QueryError> {
        if self.shutdown.is_cancelled() {
            return Err(QueryError::ShuttingDown);
        }
        Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| QueryError::TooManySubscriptions(self.most))
    }

    /// Waits for the right to use a connection.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, QueryError> {
        Arc::clone(&self.turns).acquire_owned().await.map_err(|_| QueryError::ShuttingDown) // never closed
    }
}

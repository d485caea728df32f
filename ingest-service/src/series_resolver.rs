//! Resolves (device, metric) to a series id. Ids are cached. One task looks up and creates the
//! missing series of all streams together.
//!
//! The number of series that a client creates per minute is limited, because the name of a series
//! stays even after its points are deleted or expire.
//!
//! The task owns its connection, so that a dropped call cannot leave a transaction open. This
//! module does not depend on points.

mod create;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use shared::config::DatabaseConfig;
use shared::quotas::CallQuota;
use shared::series_cache::SeriesCache;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::error::BatchError;
use crate::metrics::{Metrics, Operation};
use crate::retry::Retries;
use crate::validate::SeriesName;
use create::SeriesCreator;

/// Maximum number of series that one statement looks up or creates.
const CHUNK: usize = 10_000;
/// Maximum number of requests that are answered together.
const MAX_REQUESTS: usize = 256;

/// Name of a series that is not in the cache.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SeriesKey {
    device_id: Box<str>,
    metric_name: Box<str>,
}

impl SeriesKey {
    fn of(name: &SeriesName<'_>) -> Self {
        Self { device_id: name.device_id.into(), metric_name: name.metric_name.into() }
    }
}

/// Resolver of series names to ids; cheap to clone.
#[derive(Clone)]
pub(crate) struct SeriesResolver {
    cache: Arc<SeriesCache>,
    misses: mpsc::Sender<SeriesRequest>,
    per_minute: NonZeroUsize,
    metrics: Metrics,
}

/// Request for the series of one batch that are not in the cache.
struct SeriesRequest {
    keys: Vec<SeriesKey>,
    /// Quota against which new series count.
    quota: CallQuota,
    /// Receives the ids; `None` for a missing series that the client may not create now.
    ids: oneshot::Sender<Result<Vec<Option<i32>>, BatchError>>,
}

impl SeriesResolver {
    /// Starts the task that looks up and creates series. It ends when the last resolver is dropped.
    pub(crate) fn start(
        database: DatabaseConfig,
        timeout: Duration,
        capacity: usize,
        per_minute: NonZeroUsize,
        metrics: Metrics,
    ) -> Self {
        let cache = Arc::new(SeriesCache::new(capacity));
        let (misses, requests) = mpsc::channel(MAX_REQUESTS);
        let observed = Arc::clone(&cache);
        metrics.observe_cache(capacity, move || observed.len());
        let creator = SeriesCreator::new(database, timeout, metrics.clone());
        tokio::spawn(answer_misses(requests, Arc::clone(&cache), creator, per_minute));
        Self { cache, misses, per_minute, metrics }
    }

    /// Returns the ids of the series, in their order. Waits while the database is unavailable.
    ///
    /// Creates missing series up to the client's limit per minute. Beyond it a stream waits and a
    /// unary call is refused. Series created by then exist when the batch is sent again.
    pub(crate) async fn resolve(
        &self,
        series: &[SeriesName<'_>],
        quota: &CallQuota,
        shutdown: &CancellationToken,
    ) -> Result<Vec<i32>, BatchError> {
        let mut ids: Vec<_> =
            series.iter().map(|name| self.cache.get(name.device_id, name.metric_name)).collect();
        let mut missing = missing(&ids);
        self.metrics.looked_up(ids.len() - missing.len(), missing.len());
        while !missing.is_empty() {
            let keys = missing.iter().map(|&at| SeriesKey::of(&series[at])).collect();
            let found = self.request(keys, quota.clone()).await?;
            missing.iter().zip(found).for_each(|(&at, id)| ids[at] = id);
            missing.retain(|&at| ids[at].is_none());
            if !missing.is_empty() {
                let more = quota.wait_for_new_series(missing.len(), self.per_minute);
                match shutdown.run_until_cancelled(more).await {
                    Some(more) => more.map_err(BatchError::OverLimit)?,
                    None => return Err(BatchError::shutting_down()),
                }
            }
        }
        Ok(ids.into_iter().flatten().collect())
    }

    /// Sends a request to the task and waits for its answer.
    async fn request(
        &self,
        keys: Vec<SeriesKey>,
        quota: CallQuota,
    ) -> Result<Vec<Option<i32>>, BatchError> {
        let (ids, receiver) = oneshot::channel();
        let sent = self.misses.send(SeriesRequest { keys, quota, ids }).await;
        sent.map_err(|_| BatchError::shutting_down())?;
        receiver.await.map_err(|_| BatchError::shutting_down())?
    }
}

/// Returns the indices of the missing ids.
fn missing(ids: &[Option<i32>]) -> Vec<usize> {
    (0..ids.len()).filter(|&at| ids[at].is_none()).collect()
}

/// Requested series in sorted order, without repetition.
type FoundSeries = BTreeMap<SeriesKey, Option<i32>>;

/// Runs the task: answers all waiting requests together.
async fn answer_misses(
    mut requests: mpsc::Receiver<SeriesRequest>,
    cache: Arc<SeriesCache>,
    mut creator: SeriesCreator,
    per_minute: NonZeroUsize,
) {
    let mut waiting = Vec::new();
    while requests.recv_many(&mut waiting, MAX_REQUESTS).await > 0 {
        // An earlier round may have added some of them to the cache.
        let keys = waiting.iter().flat_map(|request| request.keys.iter().cloned());
        let mut found: FoundSeries = keys
            .map(|key| (cache.get(&key.device_id, &key.metric_name), key))
            .map(|(id, key)| (key, id))
            .collect();
        let outcome = find_or_create(&mut creator, &waiting, &mut found, per_minute).await;
        for (key, id) in &found {
            if let Some(id) = id {
                cache.insert(&key.device_id, &key.metric_name, *id);
            }
        }
        for request in waiting.drain(..) {
            let ids =
                |()| request.keys.iter().map(|key| found.get(key).copied().flatten()).collect();
            let _ = request.ids.send(outcome.clone().map(ids)); // fails if the call is gone
        }
    }
}

/// Looks up all series, then creates those that the clients may create.
async fn find_or_create(
    creator: &mut SeriesCreator,
    requests: &[SeriesRequest],
    found: &mut FoundSeries,
    per_minute: NonZeroUsize,
) -> Result<(), BatchError> {
    let unknown: Vec<SeriesKey> =
        found.iter().filter(|(_, id)| id.is_none()).map(|(key, _)| key.clone()).collect();
    fill_in(creator, &unknown, false, found).await?;
    let new = permitted(requests, found, per_minute);
    fill_in(creator, &new, true, found).await?;
    match new.iter().find(|key| found.get(*key).copied().flatten().is_none()) {
        None => Ok(()),
        Some(lost) => {
            tracing::error!(
                device = %lost.device_id,
                metric = %lost.metric_name,
                "a series was created but cannot be found"
            );
            Err(BatchError::Refused)
        }
    }
}

/// Returns the series to create, in order. Each client may create as many of its new series as its
/// quota allows now.
fn permitted(
    requests: &[SeriesRequest],
    found: &FoundSeries,
    per_minute: NonZeroUsize,
) -> Vec<SeriesKey> {
    let mut permitted = BTreeSet::new();
    for request in requests {
        let is_new = |key: &&SeriesKey| {
            found.get(*key).copied().flatten().is_none() && !permitted.contains(*key)
        };
        let new: Vec<&SeriesKey> = request.keys.iter().filter(is_new).collect();
        let count =
            if new.is_empty() { 0 } else { request.quota.take_new_series(new.len(), per_minute) };
        permitted.extend(new.into_iter().take(count).cloned());
    }
    permitted.into_iter().collect()
}

/// Looks up keys chunk by chunk, and creates missing ones first if `creates` is set. Retries until
/// the database has answered.
async fn fill_in(
    creator: &mut SeriesCreator,
    keys: &[SeriesKey],
    creates: bool,
    found: &mut FoundSeries,
) -> Result<(), BatchError> {
    for chunk in keys.chunks(CHUNK) {
        let mut retries = Retries::of(Operation::Series, &creator.metrics);
        let rows = loop {
            let error = match creator.find(chunk, creates).await {
                Ok(rows) => break rows,
                Err(error) => error,
            };
            if let Err(error) = retries.wait_after(error).await {
                let series = chunk.len();
                tracing::error!(%error, series, "the database refuses to create series");
                return Err(BatchError::Refused);
            }
        };
        for (at, id) in rows {
            found.insert(chunk[at].clone(), Some(id));
        }
    }
    Ok(())
}

//! (device, metric) to series id: cached; misses of all streams are created together by one task.
//!
//! The task owns its connection, so that nothing a caller drops can leave a transaction open. Knows no points.

mod create;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::config::DatabaseConfig;
use shared::series_cache::SeriesCache;
use tokio::sync::{mpsc, oneshot};

use crate::error::BatchError;
use crate::metrics::{Metrics, Operation};
use crate::retry::{Backoff, Verdict, verdict};
use crate::validate::SeriesName;
use create::Creator;

/// Most series that one statement looks up or creates.
const CHUNK: usize = 10_000;
/// Most requests that are answered together.
const MAX_REQUESTS: usize = 256;

/// Names a series that is not in the cache.
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

/// Resolves series; cheap to clone.
#[derive(Clone)]
pub(crate) struct SeriesResolver {
    cache: Arc<SeriesCache>,
    misses: mpsc::Sender<Misses>,
    metrics: Metrics,
}

struct Misses {
    keys: Vec<SeriesKey>,
    ids: oneshot::Sender<Result<Vec<i32>, BatchError>>,
}

impl SeriesResolver {
    /// Starts the task that creates what is missing; it ends when the last resolver is dropped.
    pub(crate) fn start(database: DatabaseConfig, timeout: Duration, capacity: usize, metrics: Metrics) -> Self {
        let cache = Arc::new(SeriesCache::new(capacity));
        let (misses, requests) = mpsc::channel(MAX_REQUESTS);
        let observed = Arc::clone(&cache);
        metrics.observe_cache(capacity, move || observed.len());
        let creator = Creator::new(database, timeout, metrics.clone());
        tokio::spawn(answer_misses(requests, Arc::clone(&cache), creator));
        Self { cache, misses, metrics }
    }

    /// The ids of the series, in their order. Series that do not exist are created. Waits for a database that is away.
    pub(crate) async fn resolve(&self, series: &[SeriesName<'_>]) -> Result<Vec<i32>, BatchError> {
        const MISSING: i32 = 0; // identities begin at 1
        let mut ids: Vec<i32> =
            series.iter().map(|name| self.cache.get(name.device_id, name.metric_name).unwrap_or(MISSING)).collect();
        let missing: Vec<usize> = (0..ids.len()).filter(|&at| ids[at] == MISSING).collect();
        self.metrics.looked_up(ids.len() - missing.len(), missing.len());
        if !missing.is_empty() {
            let (sender, receiver) = oneshot::channel();
            let keys = missing.iter().map(|&at| SeriesKey::of(&series[at])).collect();
            let sent = self.misses.send(Misses { keys, ids: sender }).await;
            sent.map_err(|_| BatchError::shutting_down())?;
            let found = receiver.await.map_err(|_| BatchError::shutting_down())??;
            missing.into_iter().zip(found).for_each(|(at, id)| ids[at] = id);
        }
        Ok(ids)
    }
}

async fn answer_misses(mut requests: mpsc::Receiver<Misses>, cache: Arc<SeriesCache>, mut creator: Creator) {
    let mut waiting = Vec::new();
    while requests.recv_many(&mut waiting, MAX_REQUESTS).await > 0 {
        // Sorted and each once; an earlier round may have brought some in.
        let keys = waiting.iter().flat_map(|request| request.keys.iter().cloned());
        let mut found: BTreeMap<SeriesKey, Option<i32>> =
            keys.map(|key| (cache.get(&key.device_id, &key.metric_name), key)).map(|(id, key)| (key, id)).collect();
        let outcome = find_or_create(&mut creator, &mut found).await;
        for (key, id) in &found {
            if let Some(id) = id {
                cache.insert(&key.device_id, &key.metric_name, *id);
            }
        }
        for request in waiting.drain(..) {
            let ids = outcome.clone().and_then(|()| {
                request.keys.iter().map(|key| found.get(key).copied().flatten().ok_or(BatchError::Refused)).collect()
            });
            let _ = request.ids.send(ids); // a caller that has gone needs no answer
        }
    }
}

/// Fills in what is not found yet, chunk by chunk, until the database has answered.
async fn find_or_create(creator: &mut Creator, found: &mut BTreeMap<SeriesKey, Option<i32>>) -> Result<(), BatchError> {
    let missing: Vec<SeriesKey> = found.iter().filter(|(_, id)| id.is_none()).map(|(key, _)| key.clone()).collect();
    for chunk in missing.chunks(CHUNK) {
        let mut backoff = Backoff::default();
        let created = loop {
            match creator.find_or_create(chunk).await {
                Ok(created) => break created,
                Err(error) if verdict(&error) == Verdict::Refused => {
                    tracing::error!(%error, series = chunk.len(), "the database refuses series");
                    return Err(BatchError::Refused);
                }
                Err(error) => {
                    creator.metrics.retry(Operation::Series, &error);
                    let wait = backoff.next();
                    tracing::warn!(%error, ?wait, attempt = backoff.attempts(), "cannot resolve series; trying again");
                    tokio::time::sleep(wait).await;
                }
            }
        };
        for (at, id) in created {
            found.insert(chunk[at].clone(), Some(id));
        }
    }
    Ok(())
}

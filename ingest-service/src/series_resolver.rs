//! (device, metric) to series id: cached; misses of all streams are created together by one task.
//!
//! The task owns its connection, so that nothing a caller drops can leave a transaction open. Knows no points.

mod create;

use std::collections::BTreeMap;
use std::sync::Arc;

use quick_cache::sync::Cache;
use shared::config::DatabaseConfig;
use tokio::sync::{mpsc, oneshot};

use crate::error::BatchError;
use crate::retry::{Backoff, Verdict, verdict};
use crate::validate::SeriesKey;
use create::Creator;

/// Most series that one statement looks up or creates.
const CHUNK: usize = 10_000;
/// Most requests that are answered together.
const MAX_REQUESTS: usize = 256;

type SeriesCache = Arc<Cache<SeriesKey, i32>>;

/// Resolves series; cheap to clone.
#[derive(Clone)]
pub(crate) struct SeriesResolver {
    cache: SeriesCache,
    misses: mpsc::Sender<Misses>,
}

struct Misses {
    keys: Vec<SeriesKey>,
    ids: oneshot::Sender<Result<Vec<i32>, BatchError>>,
}

impl SeriesResolver {
    /// Starts the task that creates what is missing; it ends when the last resolver is dropped.
    pub(crate) fn start(database: DatabaseConfig, capacity: usize) -> Self {
        let cache: SeriesCache = Arc::new(Cache::new(capacity));
        let (misses, requests) = mpsc::channel(MAX_REQUESTS);
        tokio::spawn(answer_misses(requests, Arc::clone(&cache), Creator::new(database)));
        Self { cache, misses }
    }

    /// The ids of the series, in their order. Series that do not exist are created. Waits for a database that is away.
    pub(crate) async fn resolve(&self, series: &[SeriesKey]) -> Result<Vec<i32>, BatchError> {
        let mut ids: Vec<Option<i32>> = series.iter().map(|key| self.cache.get(key)).collect();
        let missing: Vec<_> = (0..series.len()).filter(|&at| ids[at].is_none()).collect();
        if !missing.is_empty() {
            let (sender, receiver) = oneshot::channel();
            let keys = missing.iter().map(|&at| series[at].clone()).collect();
            let sent = self.misses.send(Misses { keys, ids: sender }).await;
            sent.map_err(|_| BatchError::shutting_down())?;
            let found = receiver.await.map_err(|_| BatchError::shutting_down())??;
            for (at, id) in missing.into_iter().zip(found) {
                ids[at] = Some(id);
            }
        }
        Ok(ids.into_iter().flatten().collect())
    }
}

async fn answer_misses(mut requests: mpsc::Receiver<Misses>, cache: SeriesCache, mut creator: Creator) {
    let mut waiting = Vec::new();
    while requests.recv_many(&mut waiting, MAX_REQUESTS).await > 0 {
        let mut found: BTreeMap<SeriesKey, Option<i32>> = BTreeMap::new();
        for key in waiting.iter().flat_map(|request| &request.keys) {
            if !found.contains_key(key) {
                found.insert(key.clone(), cache.get(key)); // an earlier round may have brought it in
            }
        }
        let outcome = find_or_create(&mut creator, &mut found).await;
        for (key, id) in &found {
            if let Some(id) = id {
                cache.insert(key.clone(), *id);
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
    let missing: Vec<_> = found.iter().filter(|(_, id)| id.is_none()).map(|(key, _)| key.clone()).collect();
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

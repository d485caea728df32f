//! Another client, which sends a small batch every few milliseconds and records the latency of each
//! acknowledgement. It has a thread of its own, so that it waits for the service and not for the
//! abusing tasks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared::proto::v1::IngestBatchRequest;
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::target::connect;
use crate::{batch, now, point, unique};

/// Pause between an answer and the next batch.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the client is measured without abuse.
const ALONE: Duration = Duration::from_secs(3);
/// Source address of the client, distinct like that of another machine.
const ADDRESS: &str = "127.0.0.2";

/// A running client.
pub(super) struct Neighbour {
    seen: Arc<Mutex<Latencies>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Latencies and failures of its calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies {
    answered: Vec<Duration>,
    failed: Vec<String>,
    /// Set after the abuse. Later answers are not recorded.
    closed: bool,
}

/// Latencies for comparison.
pub(super) struct Usual {
    /// Without abuse.
    pub(super) alone: Latencies,
    /// With the same abuse of another instance, on the same machine and database.
    pub(super) elsewhere: Latencies,
}

impl Neighbour {
    pub(super) fn start(url: &str) -> anyhow::Result<Self> {
        let seen = Arc::new(Mutex::new(Latencies::default()));
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = work(url.to_owned(), Arc::clone(&seen));
        let until = stop.clone();
        let task = tokio::task::spawn_blocking(move || {
            runtime.block_on(until.run_until_cancelled_owned(work));
        });
        Ok(Self { seen, stop, task })
    }

    /// Measures latencies without abuse.
    pub(super) async fn alone(&self) -> Latencies {
        tokio::time::sleep(ALONE / 3).await; // caches are cold during the first calls
        self.begin();
        tokio::time::sleep(ALONE).await;
        self.noted()
    }

    /// Discards the records so far and records anew.
    pub(super) fn begin(&self) {
        self.noted();
    }

    /// Stops recording until `begin` is called.
    pub(super) fn close(&self) {
        lock(&self.seen).closed = true;
    }

    /// Returns the records since `begin`.
    pub(super) fn noted(&self) -> Latencies {
        std::mem::take(&mut lock(&self.seen))
    }

    /// Stops the client and waits for it.
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        self.stop.cancel();
        Ok(self.task.await?)
    }
}

async fn work(url: String, seen: Arc<Mutex<Latencies>>) {
    let mut client = match connect(&url, ADDRESS).await {
        Ok(channel) => IngestServiceClient::new(channel),
        Err(error) => return lock(&seen).failed.push(format!("{error:#}")),
    };
    let device = unique("abuse-neighbour");
    loop {
        let batch = Some(batch((0..10).map(|index| point(&device, now() + index, 1.0)).collect()));
        let began = Instant::now();
        let answer = client.ingest_batch(IngestBatchRequest { batch }).await;
        lock(&seen).note(answer.err(), began.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
}

fn lock(seen: &Mutex<Latencies>) -> std::sync::MutexGuard<'_, Latencies> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the 99th percentile. `None` if there are no latencies.
pub(super) fn p99(latencies: &[Duration]) -> Option<Duration> {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() * 99 / 100).or(sorted.last()).copied()
}

/// Returns whether a latency is at most twice the usual one. False if either is unknown.
pub(super) fn at_most_doubled(latency: Option<Duration>, usual: Option<Duration>) -> bool {
    latency.zip(usual).is_some_and(|(latency, usual)| latency <= usual.saturating_mul(2))
}

pub(super) fn in_ms(latency: Option<Duration>) -> String {
    latency.map_or("unknown".to_owned(), |latency| format!("{:.1} ms", latency.as_secs_f64() * 1e3))
}

impl Latencies {
    fn note(&mut self, failed: Option<Status>, took: Duration) {
        match failed {
            _ if self.closed => {}
            None => self.answered.push(took),
            Some(status) => self.failed.push(status.to_string()),
        }
    }

    fn p99(&self) -> Option<Duration> {
        p99(&self.answered)
    }

    /// Returns whether calls were made and none failed.
    pub(super) fn all_answered(&self) -> bool {
        self.failed.is_empty() && !self.answered.is_empty()
    }

    pub(super) fn told(&self) -> String {
        let first = self.failed.first().map(|status| format!(" ({status})")).unwrap_or_default();
        let answered = self.answered.len();
        let failed = self.failed.len();
        let p99 = in_ms(self.p99());
        let longest = in_ms(self.answered.iter().max().copied());
        format!(
            "another client's p99 {p99} \
             ({answered} calls, {failed} failed{first}, longest {longest})"
        )
    }
}

impl Usual {
    pub(super) fn told(&self) -> String {
        let Self { alone, elsewhere } = self;
        format!(
            "{} with the same at another instance, {} alone",
            in_ms(elsewhere.p99()),
            in_ms(alone.p99())
        )
    }

    /// Returns whether the abuse at most doubles the p99. The baseline is the same abuse of another
    /// instance, which takes the same cores and database.
    pub(super) fn is_at_most_doubled(&self, latencies: &Latencies) -> bool {
        at_most_doubled(latencies.p99(), self.elsewhere.p99())
    }
}

//! Another client: sends a small batch every few milliseconds and notes how long each takes to be acknowledged. It has a thread of
//! its own, as another machine would: what it waits for is the service, not the tasks that abuse it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared::proto::v1::IngestBatchRequest;
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::target::connect;
use crate::{batch, now, point, unique};

/// Between an answer and the next batch.
const PAUSE: Duration = Duration::from_millis(5);
/// For how long it is watched alone.
const ALONE: Duration = Duration::from_secs(3);
/// Comes from an address of its own, as another machine would.
const ADDRESS: &str = "127.0.0.2";

/// A client at work.
pub(super) struct Neighbour {
    seen: Arc<Mutex<Latencies>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// How its calls went.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies {
    answered: Vec<Duration>,
    failed: Vec<String>,
    /// Calls that are answered now are not about what was done.
    closed: bool,
}

/// What to compare with.
pub(super) struct Usual {
    /// Nothing happens.
    pub(super) alone: Latencies,
    /// The same is done to another instance, on the same machine and with the same database.
    pub(super) elsewhere: Latencies,
}

impl Neighbour {
    pub(super) fn start(url: &str) -> anyhow::Result<Self> {
        let (seen, stop) = (Arc::new(Mutex::new(Latencies::default())), CancellationToken::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (work, until) = (work(url.to_owned(), Arc::clone(&seen)), stop.clone());
        let task = tokio::task::spawn_blocking(move || {
            runtime.block_on(until.run_until_cancelled_owned(work));
        });
        Ok(Self { seen, stop, task })
    }

    /// How its calls go where nothing happens.
    pub(super) async fn alone(&self) -> Latencies {
        tokio::time::sleep(ALONE / 3).await; // the first calls find nothing warm
        self.begin();
        tokio::time::sleep(ALONE).await;
        self.noted()
    }

    /// Notes anew.
    pub(super) fn begin(&self) {
        self.noted();
    }

    /// Notes nothing more until it begins anew.
    pub(super) fn close(&self) {
        lock(&self.seen).closed = true;
    }

    /// What it noted since it began.
    pub(super) fn noted(&self) -> Latencies {
        std::mem::take(&mut lock(&self.seen))
    }

    /// Makes no more calls.
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

/// Of nothing there is none.
pub(super) fn p99(latencies: &[Duration]) -> Option<Duration> {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() * 99 / 100).or(sorted.last()).copied()
}

/// Whether a latency is at most twice the usual one; not where either was never seen.
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

    /// Whether no call failed.
    pub(super) fn all_answered(&self) -> bool {
        self.failed.is_empty() && !self.answered.is_empty()
    }

    pub(super) fn told(&self) -> String {
        let first = self.failed.first().map(|status| format!(" ({status})")).unwrap_or_default();
        let (answered, failed) = (self.answered.len(), self.failed.len());
        let (p99, longest) = (in_ms(self.p99()), in_ms(self.answered.iter().max().copied()));
        format!(
            "another client's p99 {p99} ({answered} calls, {failed} failed{first}, longest {longest})"
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

    /// Whether the other client notices little of the abuse, beyond that it takes cores and a database which both need.
    pub(super) fn is_at_most_doubled(&self, latencies: &Latencies) -> bool {
        at_most_doubled(latencies.p99(), self.elsewhere.p99())
    }
}

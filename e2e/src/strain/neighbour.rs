//! Another client: sends a small batch every few milliseconds and notes how long each takes to be acknowledged. It has a thread of
//! its own, as another machine would: what it waits for is the service, not the tasks that abuse it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared::proto::v1::IngestBatchRequest;
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::target::connect;
use crate::{batch, now, point, unique};

/// Between an answer and the next batch.
const PAUSE: Duration = Duration::from_millis(5);
/// For how long it is watched alone, to know what is usual, and at least while something happens.
const ALONE: Duration = Duration::from_secs(3);
const AT_LEAST: Duration = Duration::from_secs(2);
/// Twice as long as usual is allowed, and this in any case: on a machine whose cores are all busy with the abuse itself,
/// shorter times say nothing of the service.
const ALLOWED_ANYWAY: Duration = Duration::from_millis(50);
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
    began: Option<Instant>,
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

    /// What is usual where nothing happens. What is noted later begins anew.
    pub(super) async fn undisturbed(&self) -> Latencies {
        self.take(); // the first calls find nothing warm
        self.over(ALONE).await
    }

    /// What is noted from now on for a while.
    pub(super) async fn over(&self, span: Duration) -> Latencies {
        self.take();
        tokio::time::sleep(span).await;
        self.take()
    }

    /// Makes no more calls: what comes now is no longer about it.
    pub(super) fn rest(&self) {
        self.stop.cancel();
    }

    /// What it noted since.
    pub(super) async fn finish(self) -> anyhow::Result<Latencies> {
        let began = lock(&self.seen).began.unwrap_or_else(Instant::now);
        tokio::time::sleep(AT_LEAST.saturating_sub(began.elapsed())).await;
        self.stop.cancel();
        self.task.await?;
        Ok(std::mem::take(&mut lock(&self.seen)))
    }

    fn take(&self) -> Latencies {
        std::mem::replace(&mut lock(&self.seen), Latencies { began: Some(Instant::now()), ..Latencies::default() })
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
        match answer {
            Ok(_) => lock(&seen).answered.push(began.elapsed()),
            Err(status) => lock(&seen).failed.push(status.to_string()),
        }
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

/// Whether a latency is at most twice the usual one, or one that is allowed anyway; not where either was never seen.
pub(super) fn at_most_doubled(latency: Option<Duration>, usual: Option<Duration>, anyway: Duration) -> bool {
    latency.zip(usual).is_some_and(|(latency, usual)| latency <= usual.saturating_mul(2).max(anyway))
}

pub(super) fn in_ms(latency: Option<Duration>) -> String {
    latency.map_or("unknown".to_owned(), |latency| format!("{:.1} ms", latency.as_secs_f64() * 1e3))
}

impl Latencies {
    fn p99(&self) -> Option<Duration> {
        p99(&self.answered)
    }

    /// Whether no call failed.
    pub(super) fn all_answered(&self) -> bool {
        self.failed.is_empty() && !self.answered.is_empty()
    }

    /// Told beside what is usual; whether the abuse did no harm.
    pub(super) fn beside(&self, usual: &Self) -> (String, bool) {
        let (p99, before, failed) = (self.p99(), usual.p99(), self.failed.len());
        let first = self.failed.first().map(|status| format!(" ({status})")).unwrap_or_default();
        let told = format!(
            "another client's p99 {} after {} ({} calls, {failed} failed{first})",
            in_ms(p99),
            in_ms(before),
            self.answered.len()
        );
        (told, self.all_answered() && at_most_doubled(p99, before, ALLOWED_ANYWAY))
    }
}

//! Clients that make unary calls one after the other, whatever the answers. They count refusals and
//! check that each has a retry delay.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared::proto::v1::IngestBatchRequest;
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::neighbour::{in_ms, p99};
use super::target::connect;
use crate::faults::totals::totals;
use crate::{Sql, batch, now, series, unique};

/// Points in each call.
const POINTS: u64 = 10_000;
/// Age of the points, in microseconds.
const AGE: i64 = 3_600_000_000;
/// Pause after a refusal. It is shorter than the requested delay, as of a client that ignores it.
const PAUSE: Duration = Duration::from_millis(20);

/// Running callers.
pub(super) struct Callers {
    seen: Arc<Mutex<Answers>>,
    devices: String,
    callers: usize,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// Answers to the calls.
#[derive(Debug, Default)]
pub(super) struct Answers {
    accepted: Vec<Duration>,
    refused: usize,
    /// Statuses that are not refusals with a retry delay.
    other: Vec<String>,
}

impl Callers {
    pub(super) async fn start(url: &str, callers: usize) -> anyhow::Result<Self> {
        let seen = Arc::default();
        let stop = CancellationToken::new();
        let devices = unique("abuse-caller");
        let mut tasks = JoinSet::new();
        for index in 0..callers {
            let client = IngestServiceClient::new(connect(url, "127.0.0.1").await?);
            tasks.spawn(call(client, device(&devices, index), Arc::clone(&seen), stop.clone()));
        }
        Ok(Self { seen, devices, callers, stop, tasks })
    }

    /// Waits for the calls under way. Returns the answers, and whether exactly the accepted points
    /// are stored.
    pub(super) async fn finish(mut self, database_url: &str) -> anyhow::Result<(Answers, bool)> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended?;
        }
        let answers =
            std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let mut sql = Sql::connect_to(database_url).await;
        let mut stored = 0;
        for index in 0..self.callers {
            stored += totals(&mut sql.0, &device(&self.devices, index)).await?.0;
        }
        let exact = stored == answers.accepted.len() as u64 * POINTS;
        Ok((answers, exact))
    }
}

fn device(devices: &str, index: usize) -> String {
    format!("{devices}-{index}")
}

async fn call(
    mut client: IngestServiceClient<Channel>,
    device: String,
    seen: Arc<Mutex<Answers>>,
    stop: CancellationToken,
) {
    let began = now() - AGE;
    for first in (0..).step_by(usize::try_from(POINTS).unwrap_or(usize::MAX)) {
        let times: Vec<i64> =
            (began + first..).take(usize::try_from(POINTS).unwrap_or(usize::MAX)).collect();
        let values = vec![1.0; times.len()];
        let mut batch = batch(Vec::new());
        batch.series = vec![series(&device, times, values)];
        let request = IngestBatchRequest { batch: Some(batch) };
        loop {
            let asked = Instant::now();
            let answer = client.ingest_batch(request.clone()).await;
            let refused = answer.is_err();
            seen.lock().unwrap_or_else(PoisonError::into_inner).note(answer.err(), asked.elapsed());
            if stop.is_cancelled() {
                return;
            }
            if !refused {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Answers {
    fn note(&mut self, refused: Option<Status>, took: Duration) {
        match refused {
            None => self.accepted.push(took),
            Some(status) if says_when_to_come_again(&status) => self.refused += 1,
            Some(status) => self.other.push(status.to_string()),
        }
    }

    /// Returns the p99 latency of the accepted calls.
    pub(super) fn p99(&self) -> Option<Duration> {
        p99(&self.accepted)
    }

    /// Returns whether calls were accepted and all others were refused with a retry delay.
    pub(super) fn are_proper(&self) -> bool {
        self.other.is_empty() && !self.accepted.is_empty()
    }

    pub(super) fn told(&self) -> String {
        let first = self.other.first().map(|status| format!(" ({status})")).unwrap_or_default();
        format!(
            "{} calls accepted, p99 {}, {} refused with RetryInfo, {} otherwise{first}",
            self.accepted.len(),
            in_ms(self.p99()),
            self.refused,
            self.other.len()
        )
    }

    pub(super) fn refused(&self) -> usize {
        self.refused
    }
}

fn says_when_to_come_again(status: &Status) -> bool {
    let retry = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
    matches!(status.code(), Code::Unavailable | Code::ResourceExhausted)
        && retry.is_some_and(|delay| !delay.is_zero())
}

//! A sender of random batches, and the instances that it sends them to.

use std::time::Duration;

use e2e::{IngestProcess, built_ingest_service, database_url, numbered, point, wait_until_serving};
use rand::RngExt as _;
use rand::rngs::StdRng;
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use shared::proto::v1::{Batch, BatchResult, IngestBatchRequest};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::{SECOND, again, reason};

/// An ingest-service process with a limit of its own, and a client for it.
pub(crate) struct Instance {
    limit: [(&'static str, &'static str); 1],
    process: IngestProcess,
    client: IngestServiceClient<Channel>,
}

impl Instance {
    pub(crate) async fn start(name: &'static str, value: &'static str) -> Self {
        let limit = [(name, value)];
        let process =
            IngestProcess::start_configured(&built_ingest_service(), &database_url(), &limit)
                .await
                .unwrap();
        let channel =
            Endpoint::from_shared(process.url().to_owned()).unwrap().connect().await.unwrap();
        wait_until_serving(&channel, "tidegauge.v1.IngestService").await;
        Self { limit, process, client: IngestServiceClient::new(channel) }
    }

    async fn send(&self, batch: Batch) -> Result<BatchResult, Status> {
        let answer =
            self.client.clone().ingest_batch(IngestBatchRequest { batch: Some(batch) }).await?;
        Ok(answer.into_inner().result.unwrap())
    }

    /// Sends a batch, kills the process meanwhile and restarts it. Returns the answer, if it
    /// arrived before the kill.
    async fn send_and_kill(self, batch: Batch, after: Duration) -> (Self, Option<BatchResult>) {
        let Self { limit: [(name, value)], process, mut client } = self;
        let answer = client.ingest_batch(IngestBatchRequest { batch: Some(batch) });
        let kill = async {
            tokio::time::sleep(after).await;
            process.kill().await.unwrap();
        };
        let (answer, ()) = tokio::join!(answer, kill);
        (Self::start(name, value).await, answer.ok().and_then(|answer| answer.into_inner().result))
    }
}

/// Index of the instance that accepts batches of every size.
const TAKES_ALL_SIZES: usize = 0;

/// A sender of random batches to instances with different limits, which are killed now and then.
pub(crate) struct RandomSender<'s> {
    pub(crate) instances: &'s mut Vec<Instance>,
    pub(crate) random: StdRng,
    pub(crate) device: String,
    pub(crate) began: i64,
    /// Applied batches with their first answers. The sequence is the index plus one.
    pub(crate) applied: Vec<(Batch, BatchResult)>,
    pub(crate) resends: usize,
    pub(crate) reuses: usize,
    pub(crate) kills: usize,
}

impl RandomSender<'_> {
    fn batch(&mut self, sequence: u64) -> Batch {
        let points = (0..self.random.random_range(1..4)).map(|_| {
            let offset = self.random.random_range(-1_200..1_200) * SECOND;
            let value = match self.random.random_range(0..6) {
                0 => f64::NAN,
                1 => 1e200,
                _ => self.random.random_range(-1e3..1e3),
            };
            point(&self.device, self.began + offset, value)
        });
        let points = points.collect();
        numbered(&self.device, 3, sequence, points)
    }

    fn next_batch(&mut self) -> Batch {
        self.batch(self.applied.len() as u64 + 1)
    }

    pub(crate) async fn step(&mut self) {
        let instance = self.random.random_range(0..self.instances.len());
        let at = self.random.random_range(0..=self.applied.len());
        match (self.random.random_range(0..20), self.applied.get(at).cloned()) {
            (0..8, Some((batch, first))) => {
                assert_eq!(self.instances[instance].send(batch).await.unwrap(), again(&first));
                self.resends += 1;
            }
            (8..11, Some(_)) => {
                let other = self.batch(at as u64 + 1);
                let status = self.instances[instance].send(other).await.unwrap_err();
                let is_too_large = status.code() == Code::ResourceExhausted;
                assert!(is_too_large || reason(&status) == "SEQUENCE_REUSED", "{status:?}");
                self.reuses += 1;
            }
            (11, _) => self.send_and_kill(instance).await,
            _ => {
                let batch = self.next_batch();
                match self.instances[instance].send(batch.clone()).await {
                    Ok(result) => self.applied.push((batch, result)),
                    Err(status) => assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}"),
                }
            }
        }
    }

    /// Sends the next batch to an instance that is killed meanwhile. Then resends it to an instance
    /// that accepts every size.
    async fn send_and_kill(&mut self, instance: usize) {
        let batch = self.next_batch();
        let after = Duration::from_micros(self.random.random_range(0..8_000));
        let killed = self.instances.swap_remove(instance);
        let (killed, first) = killed.send_and_kill(batch.clone(), after).await;
        self.instances.push(killed);
        let last = self.instances.len() - 1;
        self.instances.swap(instance, last);
        self.kills += 1;
        let resent = self.instances[TAKES_ALL_SIZES].send(batch.clone()).await.unwrap();
        match first {
            Some(first) => assert_eq!(resent, again(&first)),
            None => self.resends += 1,
        }
        self.applied.push((batch, BatchResult { is_duplicate: false, ..resent }));
    }
}

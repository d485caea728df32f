//! A client that follows the contract. It keeps a journal of acknowledged batches. After a cut, a
//! client that numbers its batches resends the rest on a new stream.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use shared::proto::v1::{Batch, BatchResult, IngestWithAcksRequest, IngestWithAcksResponse};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use super::content::Content;
use super::journal::Journal;
use super::load::PATIENCE;

/// Pause between two attempts to reach the service.
const RECONNECT: Duration = Duration::from_millis(20);

/// The client of one device.
pub(super) struct Client {
    pub(super) content: Content,
    /// Limit on its batches in flight.
    pub(super) window: u64,
    pub(super) journal: Arc<Journal>,
    /// The instance to send to. On a change, the client moves immediately.
    pub(super) route: watch::Receiver<String>,
    /// A connection shared with other clients. If `None`, the client opens its own.
    pub(super) shared: Option<Channel>,
    /// Once cancelled, the client sends no new batches.
    pub(super) stop: CancellationToken,
    pub(super) progress: Progress,
}

/// Progress of a client.
#[derive(Default)]
pub(super) struct Progress {
    /// Highest batch number sent.
    sent: u64,
    /// Highest batch number acknowledged. All earlier batches are acknowledged too, or were given
    /// up.
    acknowledged: u64,
}

/// An open stream.
pub(super) struct Stream {
    batches: mpsc::Sender<IngestWithAcksRequest>,
    acks: Streaming<IngestWithAcksResponse>,
    /// Number of the stream's first batch.
    first: u64,
    /// Number of the next batch.
    next: u64,
}

impl Client {
    /// Sends until stopped, then waits until everything sent is acknowledged. Unnumbered batches on
    /// a broken stream count as lost, because they cannot be resent.
    ///
    /// # Errors
    /// Fails if the service broke the contract.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        while !self.stop.is_cancelled() || self.progress.acknowledged < self.progress.sent {
            let url = self.route.borrow_and_update().clone();
            let opened = match &self.shared {
                Some(channel) => Stream::open_on(channel.clone(), self.first()).await,
                None => Stream::open(url, self.first()).await,
            };
            let ended = match opened {
                Ok(stream) => self.stream(stream).await?,
                Err(status) => Err(status),
            };
            if !self.content.numbered {
                self.progress.acknowledged = self.progress.sent; // resending could store it twice
            }
            let Err(status) = ended else { continue };
            if is_breach(&status) {
                bail!("{} from batch {} on: {status}", self.content.device_id, self.first());
            }
            tokio::time::sleep(RECONNECT).await;
        }
        Ok(())
    }

    /// Returns the first batch of a new stream: the one after the last acknowledged batch.
    fn first(&self) -> u64 {
        self.progress.acknowledged + 1
    }

    /// Sends batches and takes acknowledgements until the stream breaks, the service ends it, or it
    /// is no longer needed.
    async fn stream(&mut self, mut stream: Stream) -> anyhow::Result<Result<(), Status>> {
        loop {
            let stopped = self.stop.is_cancelled();
            if stopped && self.progress.acknowledged == self.progress.sent {
                return Ok(Ok(()));
            }
            let in_flight = stream.next - self.first();
            let may_send =
                in_flight < self.window && (!stopped || stream.next <= self.progress.sent);
            tokio::select! {
                Ok(permit) = stream.batches.reserve(), if may_send => {
                    self.progress.sent = self.progress.sent.max(stream.next);
                    self.journal.sent(&self.content, stream.next);
                    let batch = Some(self.content.batch(stream.next));
                    permit.send(IngestWithAcksRequest { batch });
                    stream.next += 1;
                }
                ack = stream.acks.message() => match ack {
                    Ok(Some(ack)) => {
                        let number = stream.first + ack.batch_index;
                        self.acknowledge(number, ack.result.unwrap_or_default())?;
                    }
                    Ok(None) => return Ok(Ok(())),
                    Err(status) => return Ok(Err(status)),
                },
                Ok(()) = self.route.changed() => return Ok(Ok(())),
                () = self.stop.cancelled(), if !stopped => {}
            }
        }
    }

    fn acknowledge(&mut self, number: u64, result: BatchResult) -> anyhow::Result<()> {
        let device_id = &self.content.device_id;
        let points = self.content.points(number);
        let sequence = if self.content.numbered { number } else { 0 };
        ensure!(
            number == self.first(),
            "{device_id}: batch {number} was acknowledged, expected batch {}",
            self.first()
        );
        ensure!(
            result.sequence == sequence,
            "{device_id}: sequence is {}, expected {sequence}",
            result.sequence
        );
        ensure!(
            result.accepted_count == points,
            "{device_id}: sent {points} points, got {result:?}"
        );
        ensure!(
            self.content.numbered || !result.is_duplicate,
            "{device_id}: unnumbered batch reported as a duplicate: {result:?}"
        );
        self.progress.acknowledged = number;
        self.journal.acknowledged(&self.content, number);
        Ok(())
    }
}

impl Stream {
    async fn open(url: String, first: u64) -> Result<Self, Status> {
        #[allow(clippy::disallowed_methods)] // a status made by the client, never sent by a service
        let unavailable = |error: tonic::transport::Error| Status::unavailable(error.to_string());
        let channel = Endpoint::from_shared(url)
            .map_err(unavailable)?
            .connect()
            .await
            .map_err(unavailable)?;
        Self::open_on(channel, first).await
    }

    async fn open_on(channel: Channel, first: u64) -> Result<Self, Status> {
        let (batches, receiver) = mpsc::channel(1);
        let acks = IngestServiceClient::new(channel)
            .ingest_with_acks(ReceiverStream::new(receiver))
            .await?;
        Ok(Self { batches, acks: acks.into_inner(), first, next: first })
    }

    /// Opens a stream, retrying until the service serves it.
    pub(super) async fn open_when_served(url: &str) -> anyhow::Result<Self> {
        let opened = async {
            loop {
                match Self::open(url.to_owned(), 1).await {
                    Ok(stream) => return Ok(stream),
                    Err(status) if is_breach(&status) => bail!("{url}: {status}"),
                    Err(_) => tokio::time::sleep(RECONNECT).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, opened)
            .await
            .with_context(|| format!("{url}: no stream was opened within {PATIENCE:?}"))?
    }

    /// Sends a batch and waits for its acknowledgement.
    pub(super) async fn exchange(&mut self, batch: Batch) -> anyhow::Result<BatchResult> {
        self.batches.send(IngestWithAcksRequest { batch: Some(batch) }).await?;
        let ack = self.acks.message().await?.context("the stream ended")?;
        ack.result.context("the acknowledgement has no result")
    }
}

/// Returns whether no fault explains this status. Such a status blames the client, which follows
/// the contract.
fn is_breach(status: &Status) -> bool {
    use Code::{FailedPrecondition, InvalidArgument, OutOfRange, ResourceExhausted, Unimplemented};
    matches!(
        status.code(),
        FailedPrecondition | InvalidArgument | OutOfRange | ResourceExhausted | Unimplemented
    )
}

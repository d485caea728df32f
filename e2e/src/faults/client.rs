//! A client as the contract wants it: keeps a journal of what is acknowledged, and after a cut sends the rest again on a new
//! stream where it numbers its batches.

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

/// Between two tries to reach the service.
const RECONNECT: Duration = Duration::from_millis(20);

/// One device's client.
pub(super) struct Client {
    pub(super) content: Content,
    /// Batches that it has in flight at most.
    pub(super) window: u64,
    pub(super) journal: Arc<Journal>,
    /// The instance to send to; a change makes it move at once.
    pub(super) route: watch::Receiver<String>,
    /// A connection that it shares with others; without it, it makes its own.
    pub(super) shared: Option<Channel>,
    /// No new batches from then on.
    pub(super) stop: CancellationToken,
    pub(super) progress: Progress,
}

/// How far a client is.
#[derive(Default)]
pub(super) struct Progress {
    /// Highest number that was sent.
    sent: u64,
    /// Highest number that was acknowledged: all before it were as well, or are given up.
    acknowledged: u64,
}

/// A stream under way.
pub(super) struct Stream {
    batches: mpsc::Sender<IngestWithAcksRequest>,
    acks: Streaming<IngestWithAcksResponse>,
    /// Number of its first batch.
    first: u64,
    /// Number of its next batch.
    next: u64,
}

impl Client {
    /// Sends until it is stopped, then until all that was sent is acknowledged or, where it cannot be sent again, lost.
    ///
    /// # Errors
    /// The service broke the contract.
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
                self.progress.acknowledged = self.progress.sent; // sending it again could store it twice
            }
            let Err(status) = ended else { continue };
            if is_breach(&status) {
                bail!("{} from batch {} on: {status}", self.content.device_id, self.first());
            }
            tokio::time::sleep(RECONNECT).await;
        }
        Ok(())
    }

    /// Where a new stream begins: after the last acknowledged batch.
    fn first(&self) -> u64 {
        self.progress.acknowledged + 1
    }

    /// Sends and takes acknowledgements until the stream is cut, ended by the service, or no longer wanted.
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
                    permit.send(IngestWithAcksRequest { batch: Some(self.content.batch(stream.next)) });
                    stream.next += 1;
                }
                ack = stream.acks.message() => match ack {
                    Ok(Some(ack)) => self.acknowledge(stream.first + ack.batch_index, ack.result.unwrap_or_default())?,
                    Ok(None) => return Ok(Ok(())),
                    Err(status) => return Ok(Err(status)),
                },
                Ok(()) = self.route.changed() => return Ok(Ok(())),
                () = self.stop.cancelled(), if !stopped => {}
            }
        }
    }

    fn acknowledge(&mut self, number: u64, result: BatchResult) -> anyhow::Result<()> {
        let (device_id, points) = (&self.content.device_id, self.content.points(number));
        let sequence = if self.content.numbered { number } else { 0 };
        ensure!(
            number == self.first(),
            "{device_id}: batch {number} is acknowledged, {} was next",
            self.first()
        );
        ensure!(
            result.sequence == sequence,
            "{device_id}: sequence {} instead of {sequence}",
            result.sequence
        );
        ensure!(
            result.accepted_count == points,
            "{device_id}: {points} points sent, answered with {result:?}"
        );
        ensure!(
            self.content.numbered || !result.is_duplicate,
            "{device_id}: an unnumbered duplicate: {result:?}"
        );
        self.progress.acknowledged = number;
        self.journal.acknowledged(&self.content, number);
        Ok(())
    }
}

impl Stream {
    async fn open(url: String, first: u64) -> Result<Self, Status> {
        #[allow(clippy::disallowed_methods)] // a client's own, which no service sends
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

    /// Tries until the service can do its work.
    pub(super) async fn open_when_served(url: &str) -> anyhow::Result<Self> {
        loop {
            match Self::open(url.to_owned(), 1).await {
                Ok(stream) => return Ok(stream),
                Err(status) if is_breach(&status) => bail!("{url}: {status}"),
                Err(_) => tokio::time::sleep(RECONNECT).await,
            }
        }
    }

    /// Sends a batch and waits for its acknowledgement.
    pub(super) async fn exchange(&mut self, batch: Batch) -> anyhow::Result<BatchResult> {
        self.batches.send(IngestWithAcksRequest { batch: Some(batch) }).await?;
        let ack = self.acks.message().await?.context("the stream ended")?;
        ack.result.context("an acknowledgement without a result")
    }
}

/// Whether no fault explains this answer: the service says that the client does something wrong, which it does not.
fn is_breach(status: &Status) -> bool {
    use Code::{FailedPrecondition, InvalidArgument, OutOfRange, ResourceExhausted, Unimplemented};
    matches!(
        status.code(),
        FailedPrecondition | InvalidArgument | OutOfRange | ResourceExhausted | Unimplemented
    )
}

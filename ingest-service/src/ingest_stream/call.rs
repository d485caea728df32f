//! One streaming call: batches in, each settled in order, until the stream ends or something ends it. Does not know what
//! becomes of an acknowledgement.

use std::time::Duration;

use shared::status;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::Intake;
use super::caller::Caller;
use crate::ack::{Ack, PendingAck};
use crate::error::BatchError;
use crate::metrics::Metrics;
use crate::wire::Message;

/// Batches of one call that may be under way; reading pauses beyond it.
const MAX_IN_FLIGHT: usize = 256;

/// Takes the acknowledgements of a call, in the order of its batches.
pub(super) trait AckSink {
    /// `false` where nobody listens any more.
    async fn take(&mut self, batch_index: u64, ack: Ack) -> bool;
}

/// What a call works with.
pub(super) struct Call {
    pub(super) intake: Intake,
    pub(super) caller: Caller,
    pub(super) max_message_bytes: usize,
    /// After which time no more is read and the call ends well.
    pub(super) max_age: Option<Duration>,
}

/// What ends a call early.
enum Failure {
    /// One of its batches.
    Batch { index: u64, error: BatchError },
    /// The stream itself.
    Stream(Status),
    /// The service ends.
    Shutdown,
}

/// What the reading half hands to the settling half, in order.
type Read = Result<(u64, PendingAck), Failure>;

impl Call {
    /// Reads until the stream ends, its time is up or something fails; then waits until every batch that was read is
    /// settled. Acknowledgements end at the first batch that failed. Both halves run at once, so that waiting for room
    /// holds no acknowledgement back.
    pub(super) async fn run(self, stream: Streaming<Message>, sink: &mut impl AckSink) -> Result<(), Status> {
        let (queue, read) = mpsc::channel(MAX_IN_FLIGHT);
        let stop = CancellationToken::new();
        let (max_message_bytes, metrics) = (self.max_message_bytes, self.intake.metrics.clone());
        let (committed, ended) =
            tokio::join!(self.read(stream, queue, stop.clone()), settle(read, sink, stop, &metrics)).1;
        ended.map_err(|failure| failure.into_status(committed, max_message_bytes))
    }

    async fn read(self, mut stream: Streaming<Message>, queue: mpsc::Sender<Read>, stop: CancellationToken) {
        let max_age = async {
            match self.max_age {
                Some(age) => tokio::time::sleep(age).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(max_age);
        for index in 0.. {
            let message = tokio::select! {
                message = stream.message() => message,
                () = &mut max_age => return,
                () = stop.cancelled() => return,
                () = self.caller.shutdown.cancelled() => Err(status::internal()), // told apart below
            };
            let read = match message {
                Ok(Some(message)) => match self.intake.accept(message, &self.caller).await {
                    Ok(pending) => Ok((index, pending)),
                    Err(error) => Err(Failure::Batch { index, error }),
                },
                Ok(None) => return,
                Err(_) if self.caller.shutdown.is_cancelled() => Err(Failure::Shutdown),
                Err(status) => Err(Failure::Stream(status)),
            };
            let failed = read.is_err();
            if queue.send(read).await.is_err() || failed {
                return;
            }
        }
    }
}

/// Waits for each batch in turn. After a failure, or when nobody listens, the rest is waited for without a word: it is
/// stored, and the client sends again what was not acknowledged. Says how many batches were acknowledged.
async fn settle(
    mut read: mpsc::Receiver<Read>,
    sink: &mut impl AckSink,
    stop: CancellationToken,
    metrics: &Metrics,
) -> (u64, Result<(), Failure>) {
    let (mut acknowledged, mut ended, mut listening) = (0, Ok(()), true);
    while let Some(next) = read.recv().await {
        let settled = match next {
            Ok((index, pending)) => match pending.settled(metrics).await {
                Ok(ack) => Ok((index, ack)),
                Err(error) => Err(Failure::Batch { index, error }),
            },
            Err(failure) => Err(failure),
        };
        match settled {
            Ok((index, ack)) if listening && ended.is_ok() => {
                acknowledged += 1;
                listening = sink.take(index, ack).await;
            }
            Ok(_) => {}
            Err(failure) => ended = ended.and(Err(failure)),
        }
        if ended.is_err() || !listening {
            stop.cancel();
        }
    }
    (acknowledged, ended)
}

impl Failure {
    /// Says where it happened and what had been committed by then.
    fn into_status(self, committed: u64, max_message_bytes: usize) -> Status {
        match self {
            Self::Batch { index, error } => {
                error.into_status(&format!("message {index} ({committed} batches of this call are committed): "))
            }
            Self::Stream(status) => status::from_transport(status, max_message_bytes),
            Self::Shutdown => BatchError::shutting_down().into_status(&format!("after {committed} batches: ")),
        }
    }
}

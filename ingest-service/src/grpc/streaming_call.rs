//! One streaming call: reads batches and settles them in order, until the stream ends or fails.
//! Does not depend on where acknowledgements go.

use std::time::Duration;

use shared::status;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::ack::{Ack, PendingAck};
use crate::error::BatchError;
use crate::intake::{Caller, Intake};
use crate::metrics::Metrics;
use crate::wire::{RawMessage, is_heartbeat};

/// Maximum number of unsettled batches of one call. Reading pauses beyond it.
const MAX_IN_FLIGHT: usize = 256;

/// Receiver of a call's acknowledgements, in the order of its batches.
pub(super) trait AckSink {
    /// Takes the next acknowledgement. Returns `false` if the client is gone.
    async fn take(&mut self, batch_index: u64, ack: Ack) -> bool;
}

/// State of a streaming call.
pub(super) struct StreamingCall {
    pub(super) intake: Intake,
    pub(super) caller: Caller,
    pub(super) max_message_bytes: usize,
    /// Time after which the call stops reading and ends with OK.
    pub(super) max_age: Option<Duration>,
}

/// Reason for which a call ends early.
enum CallFailure {
    /// A batch failed.
    Batch { index: u64, error: BatchError },
    /// The stream failed.
    Stream(Status),
    /// The service is shutting down.
    Shutdown,
}

/// Item that the reading half passes to the settling half, in order.
type ReadBatch = Result<(u64, PendingAck), CallFailure>;

impl StreamingCall {
    /// Reads until the stream ends, reaches its maximum age or fails. Then waits until every batch
    /// that was read is settled.
    ///
    /// Acknowledgements stop at the first batch that failed. Reading and settling run concurrently,
    /// so that waiting for a permit delays no acknowledgement.
    pub(super) async fn run(
        self,
        stream: Streaming<RawMessage>,
        sink: &mut impl AckSink,
    ) -> Result<(), Status> {
        let (queue, read) = mpsc::channel(MAX_IN_FLIGHT);
        let stop = CancellationToken::new();
        let max_message_bytes = self.max_message_bytes;
        let metrics = self.intake.metrics.clone();
        let (_, settled) = tokio::join!(
            self.read(stream, queue, stop.clone()),
            settle(read, sink, stop, &metrics)
        );
        settled.into_result(max_message_bytes)
    }

    async fn read(
        self,
        mut stream: Streaming<RawMessage>,
        queue: mpsc::Sender<ReadBatch>,
        stop: CancellationToken,
    ) {
        let max_age = async {
            match self.max_age {
                Some(age) => tokio::time::sleep(age).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(max_age);
        let mut index = 0;
        loop {
            let message = tokio::select! {
                message = stream.message() => message,
                () = &mut max_age => return,
                () = stop.cancelled() => return,
                // Reported as `CallFailure::Shutdown` below.
                () = self.caller.shutdown.cancelled() => Err(status::internal()),
            };
            let read = match message {
                Ok(Some(message)) if is_heartbeat(&message.0) => {
                    drop(self.caller.quota.message()); // releases the quota of its bytes
                    continue;
                }
                Ok(Some(message)) => match self.intake.accept(message, &self.caller).await {
                    Ok(pending) => Ok((index, pending)),
                    Err(error) => Err(CallFailure::Batch { index, error }),
                },
                Ok(None) => return,
                Err(_) if self.caller.shutdown.is_cancelled() => Err(CallFailure::Shutdown),
                Err(status) => Err(CallFailure::Stream(status)),
            };
            let failed = read.is_err();
            if queue.send(read).await.is_err() || failed {
                return;
            }
            index += 1;
        }
    }
}

/// Result of a call, once every batch that was read is settled.
#[derive(Default)]
struct SettledCall {
    /// Number of acknowledged batches; all precede the first failure.
    acknowledged: u64,
    failure: Option<CallFailure>,
    /// Indices of batches that were stored after the first failure.
    stored_later: Vec<u64>,
}

/// Waits for each batch in turn and passes on its acknowledgement.
///
/// After a failure, or once the client is gone, the remaining batches are stored without an
/// acknowledgement. The client resends what was not acknowledged.
async fn settle(
    mut read: mpsc::Receiver<ReadBatch>,
    sink: &mut impl AckSink,
    stop: CancellationToken,
    metrics: &Metrics,
) -> SettledCall {
    let mut ended = SettledCall::default();
    let mut listening = true;
    while let Some(next) = read.recv().await {
        let settled = match next {
            Ok((index, pending)) => match pending.settled(metrics).await {
                Ok(ack) => Ok((index, ack)),
                Err(error) => Err(CallFailure::Batch { index, error }),
            },
            Err(failure) => Err(failure),
        };
        match settled {
            Ok((index, _)) if ended.failure.is_some() => ended.stored_later.push(index),
            Ok((index, ack)) if listening => {
                ended.acknowledged += 1;
                listening = sink.take(index, ack).await;
            }
            Ok(_) => {}
            Err(failure) => drop(ended.failure.get_or_insert(failure)),
        }
        if ended.failure.is_some() || !listening {
            stop.cancel();
        }
    }
    ended
}

impl SettledCall {
    /// Returns the status of a failed call. It says where the call failed, how many batches were
    /// committed before, and which were stored after.
    fn into_result(self, max_message_bytes: usize) -> Result<(), Status> {
        let committed = self.acknowledged;
        Err(match self.failure {
            None => return Ok(()),
            Some(CallFailure::Batch { index, error }) => {
                let prefix =
                    format!("message {index} ({committed} batches of this call are committed): ");
                with_position(&error.into_status(&prefix), index, &self.stored_later)
            }
            Some(CallFailure::Stream(status)) => status::from_transport(status, max_message_bytes),
            Some(CallFailure::Shutdown) => {
                BatchError::shutting_down().into_status(&format!("after {committed} batches: "))
            }
        })
    }
}

/// Adds the position of the failed batch to its status, and the batches stored after it.
fn with_position(status: &Status, failed: u64, stored_later: &[u64]) -> Status {
    let stored = ranges(stored_later);
    let appended = match stored.as_str() {
        "" => "; nothing after it is stored".to_owned(),
        stored => format!("; stored messages after it: {stored}"),
    };
    let metadata = [("failed_batch_index", failed.to_string()), ("stored_batch_indices", stored)];
    status::with_metadata(status, "BATCH_FAILED", metadata, &appended)
}

/// Formats ascending numbers as ranges, such as `7,9-12`.
fn ranges(numbers: &[u64]) -> String {
    let runs = numbers.chunk_by(|one, next| one + 1 == *next);
    let written: Vec<String> = runs
        .map(|run| match run {
            [first, .., last] => format!("{first}-{last}"),
            _ => run[0].to_string(),
        })
        .collect();
    written.join(",")
}

#[cfg(test)]
mod tests {
    use super::ranges;

    #[test]
    fn indices_are_written_as_ranges() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[7]), "7");
        assert_eq!(ranges(&[7, 9, 10, 11, 12, 14, 15]), "7,9-12,14-15");
    }
}

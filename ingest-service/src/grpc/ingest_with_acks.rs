//! The handler of `IngestWithAcks`: a stream of batches, answered with a stream of
//! acknowledgements.

use std::pin::Pin;

use shared::proto::v1;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{Status, Streaming};
use tracing::Instrument as _;

use super::streaming_call::{AckSink, StreamingCall};
use crate::ack::Ack;
use crate::wire::RawMessage;

/// Maximum number of acknowledgements that wait for a slow client. Beyond it, its stream is no
/// longer read.
const WAITING_ACKS: usize = 64;

/// Stream of the answers of one call.
pub(super) type AckStream =
    Pin<Box<dyn Stream<Item = Result<v1::IngestWithAcksResponse, Status>> + Send>>;

/// Runs the call as one of `tasks`, and returns its answers.
pub(super) fn handle(
    call: StreamingCall,
    stream: Streaming<RawMessage>,
    tasks: &TaskTracker,
) -> AckStream {
    let (answers, receiver) = mpsc::channel(WAITING_ACKS);
    let work = async move {
        if let Err(status) = call.run(stream, &mut AckSender(answers.clone())).await {
            let _ = answers.send(Err(status)).await; // fails if the client is gone
        }
    };
    tasks.spawn(work.in_current_span());
    Box::pin(ReceiverStream::new(receiver))
}

/// Sender of the answers of an `IngestWithAcks`. If the client does not read them, its requests are
/// no longer read either.
struct AckSender(mpsc::Sender<Result<v1::IngestWithAcksResponse, Status>>);

impl AckSink for AckSender {
    async fn take(&mut self, batch_index: u64, ack: Ack) -> bool {
        self.0
            .send(Ok(v1::IngestWithAcksResponse { batch_index, result: Some(ack.into()) }))
            .await
            .is_ok()
    }
}

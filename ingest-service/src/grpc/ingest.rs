//! The handler of `Ingest`: a stream of batches, answered with one summary.

use shared::proto::v1;
use tonic::{Status, Streaming};

use super::streaming_call::{AckSink, StreamingCall};
use crate::ack::{Ack, Summary};
use crate::wire::RawMessage;

pub(super) async fn handle(
    call: StreamingCall,
    stream: Streaming<RawMessage>,
) -> Result<v1::IngestResponse, Status> {
    let mut summary = Summary::default();
    call.run(stream, &mut summary).await?;
    Ok(summary.into())
}

impl AckSink for Summary {
    async fn take(&mut self, _batch_index: u64, ack: Ack) -> bool {
        self.add(ack);
        true
    }
}

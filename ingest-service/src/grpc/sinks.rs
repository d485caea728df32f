//! Receivers of acknowledgements: the summary of `Ingest`, and the answer stream of
//! `IngestWithAcks`.

use shared::proto::v1;
use tokio::sync::mpsc;
use tonic::Status;

use super::streaming_call::AckSink;
use crate::ack::{Ack, Summary};

impl AckSink for Summary {
    async fn take(&mut self, _batch_index: u64, ack: Ack) -> bool {
        self.add(ack);
        true
    }
}

/// Sender of the answers of an `IngestWithAcks`. If the client does not read them, its requests are
/// no longer read either.
pub(super) struct AckSender(pub(super) mpsc::Sender<Result<v1::IngestWithAcksResponse, Status>>);

impl AckSink for AckSender {
    async fn take(&mut self, batch_index: u64, ack: Ack) -> bool {
        self.0
            .send(Ok(v1::IngestWithAcksResponse { batch_index, result: Some(ack.into()) }))
            .await
            .is_ok()
    }
}

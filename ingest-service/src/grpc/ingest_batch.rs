//! The handler of `IngestBatch`, the unary call.

use std::time::Duration;

use shared::proto::v1;
use tonic::Status;

use crate::intake::{Caller, Intake};
use crate::wire::RawMessage;

/// Time that a unary call should take at most while the queue is full. It waits for a permit only
/// as long as its batch can still be written in time, and is refused after 250 ms. Streams wait
/// without limit.
pub(super) const UNARY_TIMEOUT: Duration = Duration::from_millis(250);

pub(super) async fn handle(
    intake: Intake,
    caller: Caller,
    message: RawMessage,
) -> Result<v1::IngestBatchResponse, Status> {
    let settled = async { intake.accept(message, &caller).await?.settled(&intake.metrics).await };
    let ack = settled.await.map_err(|error| error.into_status(""))?;
    Ok(v1::IngestBatchResponse { result: Some(ack.into()) })
}

//! The handler of `GetProducer`.

use std::sync::Arc;

use shared::auth::Identity;
use shared::proto::v1;
use shared::status;
use tonic::Status;

use crate::ledger_reader::LedgerReader;
use crate::permissions::Permissions;
use crate::validate::check_producer_id;

/// Must run in a task that is not dropped: see [`LedgerReader::producer`].
pub(super) async fn handle(
    ledger: LedgerReader,
    identity: Arc<Identity>,
    request: v1::GetProducerRequest,
) -> Result<v1::GetProducerResponse, Status> {
    let producer_id = request.producer_id;
    check_producer_id("producer_id", producer_id.as_bytes(), Permissions::of(&identity))
        .map_err(|error| error.into_status(""))?;
    let found = ledger.producer(&producer_id).await.map_err(|error| error.into_status(""))?;
    found.ok_or_else(|| status::not_found("producer", &producer_id))
}

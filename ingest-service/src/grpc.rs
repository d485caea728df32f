//! The gRPC service: thin handlers, one file per method. `intake` takes each batch of a call to its
//! lane; the outcome is returned to the call.
//!
//! The work of each call runs in its own task. A client that disconnects drops the call, but
//! batches that arrived completely are still stored. Does not depend on SQL.
//!
//! New calls are refused with UNAVAILABLE while the database is not ready; calls under way wait. A
//! stream has at most 256 unsettled batches. The end of a stream decides nothing: every message
//! that was read is settled. `IngestWithAcks` ends with OK after `TIDEGAUGE_STREAM_MAX_AGE` (1 h),
//! once all that it read is acknowledged.

mod get_producer;
mod ingest;
mod ingest_batch;
mod ingest_with_acks;
mod streaming_call;

use std::time::Duration;

use shared::proto::v1;
use shared::quotas::CallQuota;
use shared::readiness::{Readiness, ReadinessHandle};
use shared::{auth, status};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;

use crate::error::BatchError;
use crate::intake::{Caller, Intake};
use crate::service::ingest_service_server::IngestService;
use crate::wire::RawMessage;
use ingest_batch::UNARY_TIMEOUT;
use ingest_with_acks::AckStream;
use streaming_call::StreamingCall;

/// Server side of the contract's `IngestService`.
pub(crate) struct IngestServer {
    pub(crate) intake: Intake,
    pub(crate) readiness: ReadinessHandle,
    pub(crate) max_message_bytes: usize,
    pub(crate) stream_max_age: Duration,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

impl IngestServer {
    /// Refuses new calls while the database is not ready. Calls in progress wait instead.
    fn check_ready(&self) -> Result<(), Status> {
        match self.readiness.now() {
            Readiness::Ready => Ok(()),
            Readiness::Waiting { .. } => {
                let sentence =
                    "the service cannot store points now: the database is not ready".to_owned();
                Err(BatchError::Unavailable(sentence).into_status(""))
            }
        }
    }

    fn caller<T>(&self, request: &Request<T>, timeout: Option<Duration>) -> Result<Caller, Status> {
        let identity = auth::identity(request.extensions())?;
        let quota = CallQuota::current();
        Ok(Caller { identity, quota, timeout, shutdown: self.shutdown.clone() })
    }

    fn call(&self, caller: Caller, max_age: Option<Duration>) -> StreamingCall {
        StreamingCall {
            caller,
            intake: self.intake.clone(),
            max_message_bytes: self.max_message_bytes,
            max_age,
        }
    }

    /// Runs the work of a call to its end, even if the call is dropped.
    async fn detached<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Status> {
        self.tasks.spawn(work.in_current_span()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "the task of a call failed");
            Err(status::internal())
        })
    }
}

#[tonic::async_trait]
impl IngestService for IngestServer {
    type IngestWithAcksStream = AckStream;

    async fn ingest(
        &self,
        request: Request<Streaming<RawMessage>>,
    ) -> Result<Response<v1::IngestResponse>, Status> {
        self.check_ready()?;
        let call = self.call(self.caller(&request, None)?, None);
        let work = ingest::handle(call, request.into_inner());
        Ok(Response::new(self.detached(work).await?))
    }

    async fn ingest_with_acks(
        &self,
        request: Request<Streaming<RawMessage>>,
    ) -> Result<Response<AckStream>, Status> {
        self.check_ready()?;
        let caller = self.caller(&request, None)?;
        let call = self.call(caller, Some(self.stream_max_age));
        Ok(Response::new(ingest_with_acks::handle(call, request.into_inner(), &self.tasks)))
    }

    async fn ingest_batch(
        &self,
        request: Request<RawMessage>,
    ) -> Result<Response<v1::IngestBatchResponse>, Status> {
        self.check_ready()?;
        let caller = self.caller(&request, Some(UNARY_TIMEOUT))?;
        let work = ingest_batch::handle(self.intake.clone(), caller, request.into_inner());
        Ok(Response::new(self.detached(work).await?))
    }

    async fn get_producer(
        &self,
        request: Request<v1::GetProducerRequest>,
    ) -> Result<Response<v1::GetProducerResponse>, Status> {
        self.check_ready()?;
        let identity = auth::identity(request.extensions())?;
        let work = get_producer::handle(self.intake.ledger.clone(), identity, request.into_inner());
        Ok(Response::new(self.detached(work).await?))
    }
}

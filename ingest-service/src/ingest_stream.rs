//! The gRPC service: a stream becomes batches, batches go through validation, the resolver and a lane, outcomes come back.
//!
//! Each call's work runs in a task of its own: a client that goes away drops the call, but whole batches that arrived are
//! stored all the same. Knows no SQL.

mod summary;

use std::pin::Pin;
use std::sync::Arc;

use shared::proto::v1;
use shared::proto::v1::ingest_service_server::IngestService;
use shared::readiness::{Readiness, ReadinessHandle};
use shared::{status, time};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use crate::ack::PendingAck;
use crate::config::Limits;
use crate::copy_encoder::Row;
use crate::error::BatchError;
use crate::flush_loop::{Lanes, QueuedBatch};
use crate::series_resolver::SeriesResolver;
use crate::validate::{NamedPoint, validate};

/// What a batch goes through between its arrival and its lane; cheap to clone.
#[derive(Clone)]
pub(crate) struct Intake {
    pub(crate) limits: Arc<Limits>,
    pub(crate) resolver: SeriesResolver,
    pub(crate) lanes: Lanes,
}

impl Intake {
    /// Takes a batch in. When this returns it is queued, and will be stored whoever still listens.
    async fn accept(&self, batch: Option<v1::Batch>) -> Result<PendingAck, BatchError> {
        let batch = batch.unwrap_or_default();
        let valid = validate(&batch, &self.limits, time::now_micros())?;
        if valid.points.is_empty() && valid.numbering.is_none() {
            return Ok(PendingAck::nothing_to_store(valid.rejections));
        }
        let sequence = batch.sequence;
        drop(batch);
        let room = self.lanes.room_for(valid.points.len()).await?;
        let ids = self.resolver.resolve(&valid.series).await?;
        let rows: Vec<Row> = valid.points.iter().map(|point| to_row(point, &ids)).collect();
        let (pending, outcome) = PendingAck::new(sequence, rows.len(), valid.rejections);
        self.lanes.queue(QueuedBatch { numbering: valid.numbering, rows, outcome, room });
        Ok(pending)
    }
}

fn to_row(point: &NamedPoint, ids: &[i32]) -> Row {
    Row { series_id: ids[point.series as usize], timestamp: point.timestamp, value: point.value }
}

/// The service behind the contract.
pub(crate) struct IngestServer {
    pub(crate) intake: Intake,
    pub(crate) readiness: ReadinessHandle,
    pub(crate) max_message_bytes: usize,
    pub(crate) tasks: TaskTracker,
    pub(crate) shutdown: CancellationToken,
}

impl IngestServer {
    /// New calls are refused while nothing can be stored; calls under way wait instead.
    fn check_ready(&self) -> Result<(), Status> {
        match self.readiness.now() {
            Readiness::Ready => Ok(()),
            Readiness::Waiting(_) => {
                let sentence = "the service cannot store points now: its database is not ready".to_owned();
                Err(BatchError::Unavailable(sentence).into_status(""))
            }
        }
    }

    /// Runs a call's work to its end even where the call is dropped.
    async fn detached<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Status>> + Send + 'static,
    ) -> Result<T, Status> {
        self.tasks.spawn(work).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a call's task failed");
            Err(status::internal())
        })
    }
}

#[tonic::async_trait]
impl IngestService for IngestServer {
    type IngestWithAcksStream = Pin<Box<dyn Stream<Item = Result<v1::IngestWithAcksResponse, Status>> + Send>>;

    async fn ingest(
        &self,
        request: Request<Streaming<v1::IngestRequest>>,
    ) -> Result<Response<v1::IngestResponse>, Status> {
        self.check_ready()?;
        let call = summary::Call::new(self.intake.clone(), self.max_message_bytes, self.shutdown.clone());
        let summary = self.detached(call.run(request.into_inner())).await?;
        Ok(Response::new(summary.into()))
    }

    async fn ingest_with_acks(
        &self,
        _request: Request<Streaming<v1::IngestWithAcksRequest>>,
    ) -> Result<Response<Self::IngestWithAcksStream>, Status> {
        Err(status::unimplemented("IngestWithAcks"))
    }

    async fn ingest_batch(
        &self,
        request: Request<v1::IngestBatchRequest>,
    ) -> Result<Response<v1::IngestBatchResponse>, Status> {
        self.check_ready()?;
        let intake = self.intake.clone();
        let batch = request.into_inner().batch;
        let work = async move {
            let settled = async { intake.accept(batch).await?.settled().await };
            settled.await.map_err(|error| error.into_status(""))
        };
        let ack = self.detached(work).await?;
        Ok(Response::new(v1::IngestBatchResponse { result: Some(ack.into()) }))
    }
}

//! The gRPC service. Each batch of a call passes through validation, the series resolver and a
//! lane; its outcome is returned to the call.
//!
//! The work of each call runs in its own task. A client that disconnects drops the call, but
//! batches that arrived completely are still stored. Does not depend on SQL.
//!
//! New calls are refused with UNAVAILABLE while the database is not ready; calls under way wait. A
//! stream has at most 256 unsettled batches. The end of a stream decides nothing: every message
//! that was read is settled. `IngestWithAcks` ends with OK after `TIDEGAUGE_STREAM_MAX_AGE` (1 h),
//! once all that it read is acknowledged.

mod caller;
mod sinks;
mod streaming_call;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use shared::proto::v1;
use shared::quotas::CallQuota;
use shared::readiness::{Readiness, ReadinessHandle};
use shared::{auth, status, time};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument as _, Span};

use crate::ack::{self, PendingAck, Summary};
use crate::config::Limits;
use crate::error::BatchError;
use crate::flush::QueuedBatch;
use crate::ledger_reader::LedgerReader;
use crate::metrics::{self, BatchOutcome, Metrics};
use crate::refusals::Refusals;
use crate::scheduling::lanes::Lanes;
use crate::series_resolver::SeriesResolver;
use crate::service::ingest_service_server::IngestService;
use crate::validate::{Permissions, ValidBatch, check_producer_id, validate};
use crate::wire::RawMessage;
use caller::Caller;
use sinks::AckSender;
use streaming_call::StreamingCall;

/// Maximum number of acknowledgements that wait for a slow client. Beyond it, its stream is no
/// longer read.
const WAITING_ACKS: usize = 64;

/// Time that a unary call should take at most while the queue is full. It waits for a permit only
/// as long as its batch can still be written in time, and is refused after 250 ms. Streams wait
/// without limit.
const UNARY_TIMEOUT: Duration = Duration::from_millis(250);

/// Stages of a batch between its arrival and its lane; cheap to clone.
#[derive(Clone)]
pub(crate) struct Intake {
    pub(crate) limits: Arc<Limits>,
    pub(crate) resolver: SeriesResolver,
    pub(crate) lanes: Lanes,
    pub(crate) ledger: LedgerReader,
    pub(crate) metrics: Metrics,
    pub(crate) refusals: Refusals,
}

impl Intake {
    /// Validates and queues the batch of a request. Once this returns, the batch will be stored
    /// even if the client disconnects.
    async fn accept(&self, message: RawMessage, caller: &Caller) -> Result<PendingAck, BatchError> {
        let accepted =
            self.queue(message, caller, Instant::now()).instrument(metrics::batch()).await;
        accepted.inspect_err(|error| self.refusals.batch(error))
    }

    async fn queue(
        &self,
        message: RawMessage,
        caller: &Caller,
        arrived: Instant,
    ) -> Result<PendingAck, BatchError> {
        let bytes = caller.quota.message();
        let checked = || {
            validate(
                &message.0,
                &self.limits,
                Permissions::of(&caller.identity),
                time::now_micros(),
            )
        };
        let valid = match metrics::validate().in_scope(checked) {
            // Boxed, because this future is rare and large.
            Err(error) => return Box::pin(self.answer_from_ledger(error)).await,
            Ok(valid) => valid,
        };
        let span = Span::current();
        let points = valid.points.len();
        caller
            .wait_for_quota(points + usize::try_from(valid.rejections.count).unwrap_or_default())
            .await?;
        let ValidBatch { numbering, series, points: valid_points, rejections } = valid;
        span.record("tidegauge.points", points);
        if let Some(numbering) = &numbering {
            span.record("tidegauge.sequence", numbering.sequence);
        }
        self.refusals.points(&rejections);
        if points == 0 && numbering.is_none() {
            self.metrics.batch(BatchOutcome::NothingValid);
            return Ok(PendingAck::known(ack::answer(0, 0, &rejections, time::now_micros())));
        }
        let resolved = self.resolver.resolve(&series, &caller.quota, &caller.shutdown);
        let series_ids = resolved.instrument(metrics::resolve()).await?;
        let wait = Instant::now();
        let producer_id = numbering.as_ref().map(|numbering| numbering.producer_id.as_str());
        let permit = self.lanes.acquire(caller.quota.client(), producer_id, points, caller.timeout);
        let permit = permit.instrument(metrics::permit()).await.ok_or(BatchError::Overloaded)?;
        self.metrics.waited_for_permit(wait.elapsed());
        let (pending, outcome) = PendingAck::new(arrived);
        let points = valid_points;
        let waiting = metrics::queue();
        let batch = QueuedBatch {
            numbering,
            points,
            series_ids,
            rejections,
            outcome,
            permit,
            bytes,
            span,
            waiting,
        };
        self.lanes.queue(batch).await;
        Ok(pending)
    }

    /// Answers a batch that exceeds the present limit of points, if it was applied while the limit
    /// was higher.
    async fn answer_from_ledger(&self, error: BatchError) -> Result<PendingAck, BatchError> {
        if let BatchError::TooManyPoints { numbering: Some(numbering), .. } = &error
            && let Some(answer) = self.ledger.first_answer(numbering).await?
        {
            self.metrics.duplicate(answer.accepted_count);
            return Ok(PendingAck::known(answer));
        }
        Err(error)
    }
}

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
    type IngestWithAcksStream =
        Pin<Box<dyn Stream<Item = Result<v1::IngestWithAcksResponse, Status>> + Send>>;

    async fn ingest(
        &self,
        request: Request<Streaming<RawMessage>>,
    ) -> Result<Response<v1::IngestResponse>, Status> {
        self.check_ready()?;
        let call = self.call(self.caller(&request, None)?, None);
        let stream = request.into_inner();
        let work = async move {
            let mut summary = Summary::default();
            call.run(stream, &mut summary).await.map(|()| summary)
        };
        Ok(Response::new(self.detached(work).await?.into()))
    }

    async fn ingest_with_acks(
        &self,
        request: Request<Streaming<RawMessage>>,
    ) -> Result<Response<Self::IngestWithAcksStream>, Status> {
        self.check_ready()?;
        let caller = self.caller(&request, None)?;
        let call = self.call(caller, Some(self.stream_max_age));
        let stream = request.into_inner();
        let (answers, receiver) = mpsc::channel(WAITING_ACKS);
        let work = async move {
            if let Err(status) = call.run(stream, &mut AckSender(answers.clone())).await {
                let _ = answers.send(Err(status)).await; // fails if the client is gone
            }
        };
        self.tasks.spawn(work.in_current_span());
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn ingest_batch(
        &self,
        request: Request<RawMessage>,
    ) -> Result<Response<v1::IngestBatchResponse>, Status> {
        self.check_ready()?;
        let intake = self.intake.clone();
        let caller = self.caller(&request, Some(UNARY_TIMEOUT))?;
        let message = request.into_inner();
        let work = async move {
            let settled =
                async { intake.accept(message, &caller).await?.settled(&intake.metrics).await };
            settled.await.map_err(|error| error.into_status(""))
        };
        let ack = self.detached(work).await?;
        Ok(Response::new(v1::IngestBatchResponse { result: Some(ack.into()) }))
    }

    async fn get_producer(
        &self,
        request: Request<v1::GetProducerRequest>,
    ) -> Result<Response<v1::GetProducerResponse>, Status> {
        self.check_ready()?;
        let caller = self.caller(&request, None)?;
        let producer_id = request.into_inner().producer_id;
        check_producer_id("producer_id", producer_id.as_bytes(), Permissions::of(&caller.identity))
            .map_err(|error| error.into_status(""))?;
        let ledger = self.intake.ledger.clone();
        let work = async move {
            let found =
                ledger.producer(&producer_id).await.map_err(|error| error.into_status(""))?;
            found.ok_or_else(|| status::not_found("producer", &producer_id))
        };
        Ok(Response::new(self.detached(work).await?))
    }
}

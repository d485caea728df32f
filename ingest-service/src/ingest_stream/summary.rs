//! One `Ingest` call: batches in, one summary out when all of them are settled.

use futures_util::stream::FuturesOrdered;
use shared::proto::v1;
use shared::status;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::Intake;
use crate::ack::{Ack, PendingAck, Summary};
use crate::error::BatchError;

pub(super) struct Call {
    intake: Intake,
    max_message_bytes: usize,
    shutdown: CancellationToken,
    summary: Summary,
    messages: u64,
    /// The first thing that went wrong; nothing is read after it.
    failure: Option<Failure>,
}

/// What ends a call early.
enum Failure {
    /// One of its batches, counted from 0.
    Batch { index: u64, error: BatchError },
    /// The stream itself.
    Stream(Status),
    /// The service ends.
    Shutdown,
}

impl Call {
    pub(super) fn new(intake: Intake, max_message_bytes: usize, shutdown: CancellationToken) -> Self {
        Self { intake, max_message_bytes, shutdown, summary: Summary::default(), messages: 0, failure: None }
    }

    /// Reads to the end of the stream or the first failure, then waits until every batch that was read is settled.
    pub(super) async fn run(mut self, mut stream: Streaming<v1::IngestRequest>) -> Result<Summary, Status> {
        let mut pending = FuturesOrdered::new();
        let mut reading = true;
        while reading || !pending.is_empty() {
            tokio::select! {
                biased;
                Some((index, settled)) = pending.next(), if !pending.is_empty() => self.settle(index, settled),
                () = self.shutdown.cancelled(), if reading => self.fail(Failure::Shutdown),
                message = stream.message(), if reading => match message {
                    Ok(Some(request)) => {
                        let index = self.messages;
                        self.messages += 1;
                        match self.intake.accept(request.batch).await {
                            Ok(ack) => pending.push_back(settled(index, ack)),
                            Err(error) => self.fail(Failure::Batch { index, error }),
                        }
                    }
                    Ok(None) => reading = false,
                    Err(status) => self.fail(Failure::Stream(status)),
                },
            }
            reading &= self.failure.is_none();
        }
        match self.failure.take() {
            None => Ok(self.summary),
            Some(failure) => Err(self.status(failure)),
        }
    }

    fn settle(&mut self, index: u64, settled: Result<Ack, BatchError>) {
        match settled {
            Ok(ack) => self.summary.add(ack),
            Err(error) => self.fail(Failure::Batch { index, error }),
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// Says where it happened and what had been committed by then.
    fn status(&self, failure: Failure) -> Status {
        let committed = self.summary.batches();
        match failure {
            Failure::Batch { index, error } => {
                error.into_status(&format!("message {index} ({committed} batches of this call are committed): "))
            }
            Failure::Stream(status) => status::from_transport(status, self.max_message_bytes),
            Failure::Shutdown => BatchError::shutting_down().into_status(&format!("after {committed} batches: ")),
        }
    }
}

async fn settled(index: u64, ack: PendingAck) -> (u64, Result<Ack, BatchError>) {
    (index, ack.settled().await)
}

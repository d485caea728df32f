//! Rows to frames, page by page: a page is read whole and its connection given back before its first frame is sent, so a
//! slow client holds memory for one page and no connection.

mod bucket_frame;
mod buckets;
mod cursor;
mod gaps;
mod pages;
mod points;

use std::time::Duration;

use shared::telemetry::CallNotes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument as _;

use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::metrics::Rows;

pub(crate) use buckets::BucketStream;
pub(crate) use points::PointStream;

/// Buckets that one statement reads.
const PAGE_ROWS: usize = 32_768;
/// Rows in one message: about 64 KiB of points.
const FRAME_ROWS: usize = 4_096;
/// Frames that wait for a slow client.
const WAITING_FRAMES: usize = 2;

/// Takes frames until the client has gone.
pub(crate) struct FrameSender<T> {
    frames: mpsc::Sender<Result<T, Status>>,
    /// How long a client may take for a frame.
    patience: Duration,
    notes: CallNotes,
}

/// The client has gone: there is nobody to answer.
pub(crate) enum StreamEnd {
    Gone,
    Failed(QueryError),
}

impl<E: Into<QueryError>> From<E> for StreamEnd {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl<T: Rows> FrameSender<T> {
    pub(crate) async fn send(&self, frame: T) -> Result<(), StreamEnd> {
        if let Some(granularity) = frame.granularity() {
            self.notes.granularity(granularity);
        }
        self.notes.rows(frame.rows());
        match self.frames.send_timeout(Ok(frame), self.patience).await {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Closed(_)) => Err(StreamEnd::Gone),
            Err(SendTimeoutError::Timeout(_)) => Err(QueryError::ClientStalled(self.patience).into()),
        }
    }
}

/// Runs the work in a task of its own, ahead of what the client takes, and gives out what it sends. Once the client has gone
/// or its deadline has passed, the work is dropped, and with it its statement. Where it fails, the status is the stream's
/// last item.
pub(crate) fn spawn<T, F>(
    deadline: Deadline,
    work: impl FnOnce(FrameSender<T>) -> F,
) -> ReceiverStream<Result<T, Status>>
where
    T: Rows + Send + 'static,
    F: Future<Output = Result<(), StreamEnd>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(WAITING_FRAMES);
    let notes = CallNotes::current();
    let work = work(FrameSender { frames: sender.clone(), patience: deadline.longest, notes });
    let work = async move {
        let outcome = tokio::select! {
            () = sender.closed() => Err(StreamEnd::Gone),
            outcome = deadline.bound_by_client(work) => outcome,
        };
        if let Err(StreamEnd::Failed(error)) = outcome {
            let _ = sender.send_timeout(Err(error.into()), deadline.longest).await; // the client may have gone meanwhile
        }
    };
    tokio::spawn(work.in_current_span());
    ReceiverStream::new(receiver)
}

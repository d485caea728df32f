//! Sends rows as frames, page by page. A page is read as a whole, and its connection is given back
//! before its first frame is sent. So a slow client occupies no connection. It occupies
//! memory: two pages, one of which is read ahead, and a few batches of frames. Small frames are
//! sent in batches, because each send wakes the client.
//!
//! What is ready within 100 ms goes with the head of the response; a longer answer continues in a
//! task of its own. A frame has 4,096 rows. A page ends between two timestamps, never within one.
//! Raw pages have 8,192 rows, then up to 131,072; bucket pages 32,768. The task waits while two
//! batches of frames are unsent.
//!
//! | part | task |
//! |---|---|
//! | `points` | streams the answer of `QueryRange` |
//! | `cursor` | decides which raw points to read next |
//! | `buckets` | streams the answer of `QueryAggregated` |
//! | `pages` | decides what one statement over buckets reads |
//! | `gaps` | finds buckets without points and fills them |
//! | `bucket_frame` | builds frames of buckets |

mod bucket_frame;
mod buckets;
mod cursor;
mod gaps;
mod pages;
mod points;

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use shared::quotas::CallQuota;
use shared::telemetry::CallNotes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::time::timeout;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument as _;

use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::metrics::StreamMessage;

pub(crate) use buckets::BucketStream;
pub(crate) use points::PointStream;

/// The maximum number of buckets that one statement reads.
const PAGE_ROWS: usize = 32_768;
/// The maximum number of rows in one message: about 64 KiB of points.
const FRAME_ROWS: usize = 4_096;
/// The number of batches that are buffered for a slow client.
const BUFFERED_BATCHES: usize = 2;

/// How long the response headers are held back so that the first batch can be sent with them.
const HEADERS_DELAY: Duration = Duration::from_millis(100);

/// The frames of a streaming response.
pub(crate) type ResponseStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Frames that are sent together: fewer than `FRAME_ROWS` rows, and one more frame.
type FrameBatch<T> = Vec<Result<T, Status>>;

/// A sender of frames to one client.
pub(crate) struct FrameSender<T> {
    batches: mpsc::Sender<FrameBatch<T>>,
    /// The batch being filled, and the number of rows in it.
    pending: Mutex<(FrameBatch<T>, usize)>,
    /// The maximum time for the client to take a batch.
    send_timeout: Duration,
    notes: CallNotes,
    quota: CallQuota,
}

/// The reason why a stream ended early.
pub(crate) enum StreamEnd {
    /// The client has disconnected: nobody reads a status.
    Disconnected,
    Failed(QueryError),
}

impl<E: Into<QueryError>> From<E> for StreamEnd {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl<T: StreamMessage> FrameSender<T> {
    /// Adds a frame to the batch. Sends the batch once it has `FRAME_ROWS` rows; otherwise the next
    /// [`flush`](Self::flush) sends it.
    pub(crate) async fn send(&self, frame: T) -> Result<(), StreamEnd> {
        if let Some(granularity) = frame.granularity() {
            self.notes.granularity(granularity);
        }
        self.notes.rows(frame.rows());
        self.quota.rows(frame.rows());
        let rows = {
            let (frames, rows) = &mut *self.pending();
            *rows += frame.rows();
            frames.push(Ok(frame));
            *rows
        };
        if rows < FRAME_ROWS { Ok(()) } else { self.flush().await }
    }

    /// Sends the batch if it contains rows. Call this before work that may take long. A header
    /// alone is held back until the first rows.
    pub(crate) async fn flush_rows(&self) -> Result<(), StreamEnd> {
        let rows = self.pending().1;
        if rows == 0 { Ok(()) } else { self.flush().await }
    }

    /// Sends the batch.
    ///
    /// # Errors
    /// Returns an error if the client has disconnected, or does not take the batch in time.
    pub(crate) async fn flush(&self) -> Result<(), StreamEnd> {
        let (batch, _) = std::mem::take(&mut *self.pending());
        match self.batches.send_timeout(batch, self.send_timeout).await {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Closed(_)) => Err(StreamEnd::Disconnected),
            Err(SendTimeoutError::Timeout(_)) => {
                Err(QueryError::ClientStalled(self.send_timeout).into())
            }
        }
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, (FrameBatch<T>, usize)> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a stream of the frames that `work` sends. Frames that are ready within [`HEADERS_DELAY`]
/// are sent together with the response headers. After that, `work` continues in its own task and
/// may be [`BUFFERED_BATCHES`] batches ahead of the client. The work and its statement are dropped
/// when the client disconnects or its deadline passes. If the work fails, the status is the last item of the stream.
pub(crate) async fn spawn<T, F>(
    deadline: Deadline,
    work: impl FnOnce(FrameSender<T>) -> F,
) -> ResponseStream<T>
where
    T: StreamMessage + Send + 'static,
    F: Future<Output = Result<(), StreamEnd>> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::channel(BUFFERED_BATCHES);
    let send_timeout = deadline.query_timeout;
    let work = work(FrameSender {
        batches: sender.clone(),
        pending: Mutex::default(),
        send_timeout,
        notes: CallNotes::current(),
        quota: CallQuota::current(),
    });
    let work = async move {
        let outcome = tokio::select! {
            () = sender.closed() => Err(StreamEnd::Disconnected),
            outcome = deadline.bound_by_client(work) => outcome,
        };
        if let Err(StreamEnd::Failed(error)) = outcome {
            // Sending fails if the client has disconnected meanwhile.
            let _ = sender.send_timeout(vec![Err(error.into())], send_timeout).await;
        }
    };
    let mut work = Box::pin(work.in_current_span());
    let soon = async {
        tokio::select! {
            biased;
            () = &mut work => (None, true),
            batch = receiver.recv() => (batch, false),
        }
    };
    let (first, done) = timeout(HEADERS_DELAY, soon).await.unwrap_or_default();
    if !done {
        tokio::spawn(work);
    }
    Box::pin(
        stream::iter(first.unwrap_or_default())
            .chain(ReceiverStream::new(receiver).flat_map(stream::iter)),
    )
}

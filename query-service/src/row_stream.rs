//! Rows to frames, page by page: a page is read whole and its connection given back before its first frame is sent, so a
//! slow client holds memory for one page and no connection. Small frames go together: each that goes alone wakes the client.
//!
//! What is ready within 100 ms goes with the head of the response; a longer answer continues in a
//! task of its own. A frame has 4,096 rows. A page ends between two timestamps, never within one.
//! Raw pages have 8,192 rows, then up to 131,072; bucket pages 32,768. The task waits while two
//! parcels of frames are unsent.

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
use crate::metrics::Rows;

pub(crate) use buckets::BucketStream;
pub(crate) use points::PointStream;

/// Buckets that one statement reads.
const PAGE_ROWS: usize = 32_768;
/// Rows in one message: about 64 KiB of points.
const FRAME_ROWS: usize = 4_096;
/// Parcels that wait for a slow client.
const WAITING_PARCELS: usize = 2;

/// How long the head of a response waits for what follows.
const HEAD_WAITS: Duration = Duration::from_millis(100);

/// A response as it comes.
pub(crate) type Frames<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Frames that go together: up to some `FRAME_ROWS` rows, and one frame more.
type Parcel<T> = Vec<Result<T, Status>>;

/// Takes frames until the client has gone.
pub(crate) struct FrameSender<T> {
    parcels: mpsc::Sender<Parcel<T>>,
    /// The next one, and the rows in it.
    packed: Mutex<(Parcel<T>, usize)>,
    /// How long a client may take for a parcel.
    patience: Duration,
    notes: CallNotes,
    quota: CallQuota,
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
    /// Packs a frame. It goes once there is enough to go, or with the next [`flush`](Self::flush).
    pub(crate) async fn send(&self, frame: T) -> Result<(), StreamEnd> {
        if let Some(granularity) = frame.granularity() {
            self.notes.granularity(granularity);
        }
        self.notes.rows(frame.rows());
        self.quota.rows(frame.rows());
        let rows = {
            let (frames, rows) = &mut *self.packed();
            *rows += frame.rows();
            frames.push(Ok(frame));
            *rows
        };
        if rows < FRAME_ROWS { Ok(()) } else { self.flush().await }
    }

    /// Sends rows that are packed, before something is done that may take its time. A header alone waits for the first rows.
    pub(crate) async fn flush_rows(&self) -> Result<(), StreamEnd> {
        let rows = self.packed().1;
        if rows == 0 { Ok(()) } else { self.flush().await }
    }

    /// Sends what is packed.
    pub(crate) async fn flush(&self) -> Result<(), StreamEnd> {
        let (parcel, _) = std::mem::take(&mut *self.packed());
        match self.parcels.send_timeout(parcel, self.patience).await {
            Ok(()) => Ok(()),
            Err(SendTimeoutError::Closed(_)) => Err(StreamEnd::Gone),
            Err(SendTimeoutError::Timeout(_)) => {
                Err(QueryError::ClientStalled(self.patience).into())
            }
        }
    }

    fn packed(&self) -> std::sync::MutexGuard<'_, (Parcel<T>, usize)> {
        self.packed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives out what the work sends. What is soon there goes together with the head of the response; what takes longer is done in
/// a task of its own, ahead of what the client takes. Once the client has gone or its deadline has passed, the work is dropped,
/// and with it its statement. Where it fails, the status is the stream's last item.
pub(crate) async fn spawn<T, F>(
    deadline: Deadline,
    work: impl FnOnce(FrameSender<T>) -> F,
) -> Frames<T>
where
    T: Rows + Send + 'static,
    F: Future<Output = Result<(), StreamEnd>> + Send + 'static,
{
    let (sender, mut receiver) = mpsc::channel(WAITING_PARCELS);
    let (notes, quota, patience) = (CallNotes::current(), CallQuota::current(), deadline.longest);
    let work = work(FrameSender {
        parcels: sender.clone(),
        packed: Mutex::default(),
        patience,
        notes,
        quota,
    });
    let work = async move {
        let outcome = tokio::select! {
            () = sender.closed() => Err(StreamEnd::Gone),
            outcome = deadline.bound_by_client(work) => outcome,
        };
        if let Err(StreamEnd::Failed(error)) = outcome {
            let _ = sender.send_timeout(vec![Err(error.into())], patience).await; // the client may have gone meanwhile
        }
    };
    let mut work = Box::pin(work.in_current_span());
    let soon = async {
        tokio::select! {
            biased;
            () = &mut work => (None, true),
            parcel = receiver.recv() => (parcel, false),
        }
    };
    let (first, done) = timeout(HEAD_WAITS, soon).await.unwrap_or_default();
    if !done {
        tokio::spawn(work);
    }
    Box::pin(
        stream::iter(first.unwrap_or_default())
            .chain(ReceiverStream::new(receiver).flat_map(stream::iter)),
    )
}

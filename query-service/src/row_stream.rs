//! Rows to frames, page by page: a page is read whole and its connection given back before its first frame is sent, so a
//! slow client holds memory for one page and no connection.

mod buckets;
mod points;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::error::QueryError;

pub(crate) use buckets::BucketStream;
pub(crate) use points::PointStream;

/// Rows that one statement reads.
const PAGE_ROWS: usize = 32_768;
/// Rows in one message: about 64 KiB of points.
const FRAME_ROWS: usize = 4_096;
/// Frames that wait for a slow client.
const WAITING_FRAMES: usize = 2;

/// Takes frames until the client has gone.
pub(crate) struct FrameSender<T>(mpsc::Sender<Result<T, Status>>);

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

impl<T> FrameSender<T> {
    async fn send(&self, frame: T) -> Result<(), StreamEnd> {
        self.0.send(Ok(frame)).await.map_err(|_| StreamEnd::Gone)
    }
}

/// Runs the work in a task of its own, so that no statement lives in a future that a client can drop, and gives out what it
/// sends. Where it fails, the status is the stream's last item.
pub(crate) fn spawn<T, F>(work: impl FnOnce(FrameSender<T>) -> F) -> ReceiverStream<Result<T, Status>>
where
    T: Send + 'static,
    F: Future<Output = Result<(), StreamEnd>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(WAITING_FRAMES);
    let work = work(FrameSender(sender.clone()));
    tokio::spawn(async move {
        if let Err(StreamEnd::Failed(error)) = work.await {
            let _ = sender.send(Err(error.into())).await; // the client may have gone meanwhile
        }
    });
    ReceiverStream::new(receiver)
}

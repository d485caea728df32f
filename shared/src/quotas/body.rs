//! A request's body, held back or ended where its client is over a limit.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::body::{Body as HttpBody, Frame};
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tonic::body::Body;

use super::CallQuota;
use super::framing::Framing;

/// Reads on only while the client may send more.
pub(super) struct Metered {
    body: Body,
    call: CallQuota,
    framing: Framing,
    /// Came in, but is not handed on before `room` is there.
    parked: Bytes,
    /// Bytes at its beginning that `room` is awaited for.
    withheld: usize,
    room: Option<BoxFuture<'static, ()>>,
    /// When the message that is waited for is given up; it runs only while it is the client's turn.
    patience: Pin<Box<Sleep>>,
    is_waiting: bool,
}

impl Metered {
    pub(super) fn new(body: Body, call: CallQuota) -> Self {
        let patience = Box::pin(tokio::time::sleep(call.message_timeout()));
        let (framing, parked) = Default::default();
        Self { body, call, framing, parked, withheld: 0, room: None, patience, is_waiting: false }
    }

    /// Of what came in, that which may be handed on. The end of a message never waits for the beginning of the next one: what
    /// the message holds is only given back once it was handed on.
    fn take(&mut self) -> Result<Bytes, Status> {
        let mut read = std::mem::take(&mut self.withheld);
        while read < self.parked.len() && self.room.is_none() {
            let piece = self.framing.read(&self.parked[read..]);
            self.is_waiting &= piece.ended.is_none();
            if let Some(length) = piece.begins {
                self.room = self.call.begin(length)?;
            }
            match piece.ended.and_then(|length| self.call.complete(length)) {
                None => read += piece.read,
                room => (self.room, self.withheld) = (room, piece.read),
            }
        }
        Ok(self.parked.split_to(read))
    }

    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        if !self.is_waiting {
            self.is_waiting = true;
            let until = Instant::now() + self.call.message_timeout();
            self.patience.as_mut().reset(until);
        }
        ready!(self.patience.as_mut().poll(context));
        Poll::Ready(self.call.silent())
    }
}

impl HttpBody for Metered {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(room) = &mut self.room {
                ready!(room.as_mut().poll(context));
                self.room = None;
            }
            if !self.parked.is_empty() {
                let taken = self.take()?;
                if !taken.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(taken))));
                }
                continue;
            }
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.parked = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Poll::Ready(ended) => return Poll::Ready(ended),
                Poll::Pending => {
                    return self.poll_patience(context).map(|status| Some(Err(status)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.parked.is_empty() && self.body.is_end_stream()
    }
}

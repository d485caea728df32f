//! A request body that enforces the quotas of its client while it is read.

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

/// A request body that is read only as far as the quotas of its client allow.
pub(super) struct Metered {
    body: Body,
    call: CallQuota,
    framing: Framing,
    /// Data received from the inner body but not passed on yet.
    parked: Bytes,
    /// Number of bytes at the start of `parked` that are passed on once `permit` has resolved.
    withheld: usize,
    /// Wait for a quota, if one is in progress.
    permit: Option<BoxFuture<'static, ()>>,
    /// Timeout of the message being received. It runs only while waiting for the client.
    timeout: Pin<Box<Sleep>>,
    /// Whether the timeout is running.
    is_waiting: bool,
}

impl Metered {
    pub(super) fn new(body: Body, call: CallQuota) -> Self {
        let timeout = Box::pin(tokio::time::sleep(call.message_timeout()));
        Self {
            body,
            call,
            framing: Framing::default(),
            parked: Bytes::new(),
            withheld: 0,
            permit: None,
            timeout,
            is_waiting: false,
        }
    }

    /// Returns the received bytes that may be passed on. The end of a message never waits for the
    /// start of the next one, because the bytes held by a message are released only after it was
    /// passed on.
    fn take(&mut self) -> Result<Bytes, Status> {
        let mut read = std::mem::take(&mut self.withheld);
        while read < self.parked.len() && self.permit.is_none() {
            let progress = self.framing.read(&self.parked[read..]);
            self.is_waiting &= progress.ended.is_none();
            if let Some(length) = progress.begins {
                self.permit = self.call.begin(length)?;
            }
            match progress.ended.and_then(|length| self.call.complete(length)) {
                None => read += progress.read,
                permit => (self.permit, self.withheld) = (permit, progress.read),
            }
        }
        Ok(self.parked.split_to(read))
    }

    /// Polls the timeout, and starts it if it is not running. Resolves to the status that ends the
    /// call.
    fn poll_timeout(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        if !self.is_waiting {
            self.is_waiting = true;
            let until = Instant::now() + self.call.message_timeout();
            self.timeout.as_mut().reset(until);
        }
        ready!(self.timeout.as_mut().poll(context));
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
            if let Some(permit) = &mut self.permit {
                ready!(permit.as_mut().poll(context));
                self.permit = None;
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
                    return self.poll_timeout(context).map(|status| Some(Err(status)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.parked.is_empty() && self.body.is_end_stream()
    }
}

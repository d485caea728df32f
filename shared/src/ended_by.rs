//! A body that something else may end before its own end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// What ends a body, and the status to say then.
type End = Pin<Box<dyn Future<Output = Status> + Send>>;

/// Frames as long as they come; where one has to be waited for, the end may come first.
pub(crate) struct EndedBy {
    body: Body,
    /// None once it has come.
    end: Option<End>,
    is_answer: bool,
}

impl EndedBy {
    /// A request's: whoever reads it is told the status as an error of the transport.
    pub(crate) fn request(body: Body, end: impl Future<Output = Status> + Send + 'static) -> Body {
        Body::new(Self { body, end: Some(Box::pin(end)), is_answer: false })
    }

    /// An answer's: the client is told the status in its trailers.
    pub(crate) fn response(body: Body, end: impl Future<Output = Status> + Send + 'static) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::new(Self { body, end: Some(Box::pin(end)), is_answer: true })
    }
}

impl HttpBody for EndedBy {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Self { body, end: ending, is_answer } = &mut *self;
        let Some(end) = ending else { return Poll::Ready(None) };
        if let frame @ Poll::Ready(_) = Pin::new(body).poll_frame(context) {
            return frame;
        }
        let status = ready!(end.as_mut().poll(context));
        *ending = None;
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(match is_answer {
            true => status.add_header(&mut trailers).map(|()| Frame::trailers(trailers)),
            false => Err(status),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none() || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

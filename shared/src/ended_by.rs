//! A body that can be ended early with a status.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// Future that resolves to the status with which to end the body.
type End = Pin<Box<dyn Future<Output = Status> + Send>>;

/// A body that passes frames on until `end` resolves. A frame that is ready takes precedence.
pub(crate) struct EndedBy {
    body: Body,
    /// `None` once the body has ended.
    end: Option<End>,
    /// Whether the status is sent in trailers, as for a response.
    is_answer: bool,
}

impl EndedBy {
    /// Wraps a request body. Its reader gets the status as a transport error.
    pub(crate) fn request(body: Body, end: impl Future<Output = Status> + Send + 'static) -> Body {
        Body::new(Self { body, end: Some(Box::pin(end)), is_answer: false })
    }

    /// Wraps a response body. The client gets the status in the trailers.
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

//! The middleware that translates statuses of libraries and catches panics.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tonic::{Code, Status};

use super::library::Call;
use super::{internal, unmark};
use crate::around::{Answer, Around};

/// Translates statuses made by libraries. Must be placed outside of all layers that make them.
#[derive(Clone, Debug)]
pub(crate) struct Statuses {
    pub(crate) max_message_bytes: usize,
}

impl Around for Statuses {
    fn call(&self, request: Request<Body>, inside: impl FnOnce(Request<Body>) -> Answer) -> Answer {
        let call = Call {
            path: request.uri().path().to_owned(),
            max_message_bytes: self.max_message_bytes,
        };
        let Ok(answer) = catch_unwind(AssertUnwindSafe(|| inside(request))) else {
            return Box::pin(std::future::ready(Ok(after_panic(&call))));
        };
        Box::pin(async move { Ok(translated(AssertUnwindSafe(answer).catch_unwind().await, call)) })
    }
}

fn after_panic(call: &Call) -> Response<Body> {
    log_panic(call);
    let mut response = internal().into_http();
    unmark(response.headers_mut());
    response
}

fn log_panic(call: &Call) {
    tracing::error!(path = call.path, "call panicked; see standard error for the location");
}

fn translated(
    answer: Result<Result<Response<Body>, Infallible>, Box<dyn std::any::Any + Send>>,
    call: Call,
) -> Response<Body> {
    let Ok(Ok(mut response)) = answer else { return after_panic(&call) };
    if !response.headers().contains_key(Status::GRPC_STATUS) && response.status() != StatusCode::OK
    {
        response = Response::new(Body::empty()); // a response of the router, which is not gRPC
        let code = (Code::Unknown as i32).into();
        response.headers_mut().insert(Status::GRPC_STATUS, code);
    }
    if let Some(status) = of_library(response.headers_mut(), &call) {
        response = status.into_http();
        unmark(response.headers_mut());
    }
    response.map(|body| {
        if body.is_end_stream() {
            body
        } else {
            Body::new(Translated { body, call, is_over: false })
        }
    })
}

/// Removes the mark of a status made by a service. Returns the translation of a status without it.
fn of_library(headers: &mut HeaderMap, call: &Call) -> Option<Status> {
    if unmark(headers) {
        return None;
    }
    let status = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok)?;
    Some(call.translate(status))
}

/// A response body that translates the status in its trailers.
struct Translated {
    body: Body,
    call: Call,
    is_over: bool,
}

impl Translated {
    fn end(&mut self, status: &Status) -> Frame<Bytes> {
        self.is_over = true;
        Frame::trailers(trailers(status))
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        trailers.insert(Status::GRPC_STATUS, (Code::Internal as i32).into());
    }
    unmark(&mut trailers);
    trailers
}

impl HttpBody for Translated {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let body = &mut self.body;
        let Ok(polled) = catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(context)))
        else {
            log_panic(&self.call);
            return Poll::Ready(Some(Ok(self.end(&internal()))));
        };
        polled.map(|frame| match frame? {
            Ok(frame) => match frame.into_trailers() {
                Ok(mut found) => match of_library(&mut found, &self.call) {
                    Some(status) => Some(Ok(self.end(&status))),
                    None => Some(Ok(Frame::trailers(found))),
                },
                Err(data) => Some(Ok(data)),
            },
            Err(status) => {
                let status = self.call.translate(status);
                Some(Ok(self.end(&status)))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)] // these tests play the role of a library

    use futures_util::future::ready;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;
    use crate::status::{MARK, deadline_exceeded};

    async fn call(
        answer: impl Future<Output = Response<Body>> + Send + 'static,
    ) -> (HeaderMap, HeaderMap) {
        let statuses = Statuses { max_message_bytes: 1_000 };
        let request = Request::builder().uri("/x/Y").body(Body::empty()).unwrap();
        let answer: Answer = Box::pin(async move { Ok(answer.await) });
        let (head, body) = statuses.call(request, |_| answer).await.unwrap().into_parts();
        (head.headers, body.collect().await.unwrap().trailers().cloned().unwrap_or_default())
    }

    fn code(headers: &HeaderMap) -> Code {
        Code::from_bytes(headers[Status::GRPC_STATUS].as_bytes())
    }

    fn streamed(frames: Vec<Result<Frame<Bytes>, Status>>) -> Response<Body> {
        Response::new(Body::new(StreamBody::new(tokio_stream::iter(frames))))
    }

    #[tokio::test]
    async fn a_status_of_a_library_is_translated_in_headers_and_in_trailers() {
        let missing = Status::internal("Missing request message.");
        let (headers, _) = call(ready(missing.clone().into_http())).await;
        assert_eq!(code(&headers), Code::InvalidArgument);
        let (_, trailers) =
            call(ready(streamed(vec![Ok(Frame::trailers(trailers(&missing)))]))).await;
        assert_eq!(code(&trailers), Code::InvalidArgument);
        let (_, trailers) =
            call(ready(streamed(vec![Ok(Frame::data(Bytes::new())), Err(missing)]))).await;
        assert_eq!(code(&trailers), Code::InvalidArgument, "a body error becomes trailers");
    }

    #[tokio::test]
    async fn a_status_of_the_service_goes_through_without_its_mark() {
        let own = deadline_exceeded("too late");
        let mut marked = HeaderMap::new();
        own.add_header(&mut marked).unwrap();
        assert!(marked.contains_key(MARK));
        let (headers, _) = call(ready(own.into_http())).await;
        assert_eq!(code(&headers), Code::DeadlineExceeded);
        assert!(!headers.contains_key(MARK) && headers["grpc-message"] == "too%20late");
        let (_, trailers) = call(ready(streamed(vec![Ok(Frame::trailers(marked))]))).await;
        assert_eq!(code(&trailers), Code::DeadlineExceeded);
        assert!(!trailers.contains_key(MARK));
    }

    #[tokio::test]
    async fn a_panic_is_internal_wherever_it_comes() {
        let (headers, _) = call(async { panic!("at once") }).await;
        assert_eq!(code(&headers), Code::Internal);
        let frames =
            tokio_stream::iter([0]).map(|_| -> Result<Frame<Bytes>, Status> { panic!("later") });
        let (_, trailers) = call(ready(Response::new(Body::new(StreamBody::new(frames))))).await;
        assert_eq!(code(&trailers), Code::Internal);
    }

    #[tokio::test]
    async fn an_answer_that_is_not_grpc_is_internal() {
        let (headers, _) =
            call(ready(Response::builder().status(404).body(Body::empty()).unwrap())).await;
        assert_eq!(code(&headers), Code::Internal);
    }

    use tokio_stream::StreamExt as _;
}

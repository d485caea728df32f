//! Middleware around gRPC calls, as one [`tower::Layer`] for every kind of it.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

/// Future of a call's response. Errors of the call are responses too, with a gRPC status.
pub(crate) type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

/// A middleware around calls.
pub(crate) trait Around: Clone {
    /// Answers a call, either by passing it to the inner service or in its place.
    fn call(&self, request: Request<Body>, inside: impl FnOnce(Request<Body>) -> Answer) -> Answer;
}

/// A layer that wraps a service in a middleware.
#[derive(Clone, Debug)]
pub(crate) struct AroundLayer<A>(pub(crate) A);

impl<A: Clone, S> Layer<S> for AroundLayer<A> {
    type Service = Surrounded<A, S>;

    fn layer(&self, inside: S) -> Surrounded<A, S> {
        Surrounded { around: self.0.clone(), inside }
    }
}

/// A service wrapped in a middleware.
#[derive(Clone, Debug)]
pub(crate) struct Surrounded<A, S> {
    around: A,
    inside: S,
}

impl<A, S> Service<Request<Body>> for Surrounded<A, S>
where
    A: Around,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inside.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.around.call(request, |request| Box::pin(self.inside.call(request)))
    }
}

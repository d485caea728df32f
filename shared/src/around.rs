//! What stands around every call: one frame of tower's for all that does.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

/// What a call is answered, in time: an error is a response too.
pub(crate) type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

/// Stands around calls.
pub(crate) trait Around: Clone {
    /// Answers a call by what is inside, or in its place.
    fn call(&self, request: Request<Body>, inside: impl FnOnce(Request<Body>) -> Answer) -> Answer;
}

/// Puts something around a service.
#[derive(Clone, Debug)]
pub(crate) struct AroundLayer<A>(pub(crate) A);

impl<A: Clone, S> Layer<S> for AroundLayer<A> {
    type Service = Surrounded<A, S>;

    fn layer(&self, inside: S) -> Surrounded<A, S> {
        Surrounded { around: self.0.clone(), inside }
    }
}

/// A service with something around it.
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

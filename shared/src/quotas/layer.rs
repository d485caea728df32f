//! Opens every call against its client's limits, and closes it when the answer is over and nobody works for it any more.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tonic::body::Body;
use tower::{Layer, Service};

use super::body::Metered;
use super::client::network;
use super::{CallQuota, Quotas};
use crate::auth::Identity;
use crate::connections::Peer;

const HEALTH: &str = "/grpc.health.v1.Health/";

/// Puts the limits in front of every call; to be put behind the access layer.
#[derive(Clone, Debug)]
pub(crate) struct QuotaLayer(pub(crate) Quotas);

impl<S> Layer<S> for QuotaLayer {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited { quotas: self.0.clone(), inner }
    }
}

/// A service whose clients are limited.
#[derive(Clone, Debug)]
pub(crate) struct Limited<S> {
    quotas: Quotas,
    inner: S,
}

impl<S> Service<Request<Body>> for Limited<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = match open(&self.quotas, &request) {
            Ok(call) => call,
            Err(over) => return Box::pin(std::future::ready(Ok(over.into_status("").into_http()))),
        };
        let request = request.map(|body| Body::new(Metered::new(body, call.clone())));
        let response = call.scope(|| self.inner.call(request));
        let held = call.clone();
        Box::pin(call.scope_future(async move {
            let response = response.await?;
            Ok(response.map(|body| Body::new(Answer { body, _call: held })))
        }))
    }
}

fn open(quotas: &Quotas, request: &Request<Body>) -> Result<CallQuota, super::OverLimit> {
    let (path, extensions) = (request.uri().path(), request.extensions());
    let address = extensions.get::<Peer>().map(|peer| network(peer.address.ip()));
    let address = || address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
    let named = extensions.get::<Arc<Identity>>().filter(|identity| !identity.is_anyone());
    match named {
        Some(identity) => quotas.open(path, &format!("identity:{}", identity.name), identity.limits),
        None if path.starts_with(HEALTH) => quotas.open(path, &format!("probe:{}", address()), Default::default()),
        None => quotas.open(path, &format!("clientip:{}", address()), Default::default()),
    }
}

/// An answer, until its end.
struct Answer {
    body: Body,
    _call: CallQuota,
}

impl HttpBody for Answer {
    type Data = bytes::Bytes;
    type Error = tonic::Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

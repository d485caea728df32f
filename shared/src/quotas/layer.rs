//! Opens every call against its client's limits, and closes it when the answer is over and nobody works for it any more.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tower::{Layer, Service};

use super::body::Metered;
use super::client::network;
use super::{CallQuota, Quotas};
use crate::auth::Identity;
use crate::connections::Peer;
use crate::under_way::{HEALTH, holding};

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
        Box::pin(call.scope_future(async move { Ok(response.await?.map(|body| holding(body, held))) }))
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

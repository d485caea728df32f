//! The middleware that opens every call against the quotas of its client. The call counts until its
//! response has ended and no task works for it any more.

use std::sync::Arc;

use futures_util::future::ready;
use http::Request;
use tonic::body::Body;

use super::body::Metered;
use super::client::network;
use super::{CallQuota, Quotas};
use crate::around::{Answer, Around};
use crate::auth::Identity;
use crate::connections::Peer;
use crate::under_way::{HEALTH, holding};

/// Must be placed inside the access layer, which determines the identity.
impl Around for Quotas {
    fn call(&self, request: Request<Body>, inside: impl FnOnce(Request<Body>) -> Answer) -> Answer {
        let call = match open(self, &request) {
            Ok(call) => call,
            Err(over) => return Box::pin(ready(Ok(over.into_status("").into_http()))),
        };
        let request = request.map(|body| Body::new(Metered::new(body, call.clone())));
        let response = call.scope(|| inside(request));
        let held = call.clone();
        Box::pin(
            call.scope_future(async move { Ok(response.await?.map(|body| holding(body, held))) }),
        )
    }
}

fn open(quotas: &Quotas, request: &Request<Body>) -> Result<CallQuota, super::OverLimit> {
    let path = request.uri().path();
    let extensions = request.extensions();
    let address = extensions.get::<Peer>().map(|peer| network(peer.address.ip()));
    let address = || address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
    let named = extensions.get::<Arc<Identity>>().filter(|identity| !identity.is_anyone());
    match named {
        Some(identity) => {
            quotas.open(path, &format!("identity:{}", identity.name), identity.limits)
        }
        None if path.starts_with(HEALTH) => {
            quotas.open(path, &format!("probe:{}", address()), Default::default())
        }
        None => quotas.open(path, &format!("clientip:{}", address()), Default::default()),
    }
}

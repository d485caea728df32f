//! Lets a call through or answers it, by its path and headers alone.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::future::ready;
use http::Request;
use http::header::AUTHORIZATION;
use tonic::body::Body;
use tonic::{Code, Status};

use super::file::{Identities, Unknown};
use super::revocation::{Revocation, Shown};
use super::{Identity, Scope, key};
use crate::around::{Answer, Around};
use crate::connections::Peer;
use crate::ended_by::EndedBy;
use crate::reload::Reloaded;
use crate::status;
use crate::telemetry::Repeats;
use crate::under_way::HEALTH;

/// What a call needs, by the service that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Nothing: probes have no keys.
    Nothing,
    /// To be known.
    AnyIdentity,
    Scope(Scope),
}

fn need(path: &str) -> Need {
    match path.trim_start_matches('/').split('/').next() {
        _ if path.starts_with(HEALTH) => Need::Nothing,
        Some("tidegauge.v1.IngestService") => Need::Scope(Scope::Ingest),
        Some("tidegauge.v1.QueryService") => Need::Scope(Scope::Query),
        _ => Need::AnyIdentity, // reflection, and what does not exist
    }
}

/// Knows who may call.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    /// None where authentication is off.
    identities: Option<Reloaded<Identities>>,
}

impl Gate {
    /// Reads the identities, where there is a file of them, and keeps looking at it.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub(crate) async fn start(file: Option<&Path>, every: Duration) -> Result<Self, String> {
        let Some(file) = file else { return Ok(Self { identities: None }) };
        let make = |contents: &crate::reload::Contents| {
            let identities = Identities::parse(&contents.concat())?;
            tracing::info!(count = identities.count, "identities are known");
            Ok(identities)
        };
        let identities =
            Reloaded::start("the file of identities", vec![file.to_owned()], every, make).await;
        let identities = identities
            .map_err(|error| format!("TIDEGAUGE_IDENTITIES_FILE is {file:?}: {error}"))?;
        Ok(Self { identities: Some(identities) })
    }

    /// Says who calls, and where that may end before the call does, when.
    fn admit<B>(
        &self,
        request: &Request<B>,
    ) -> Result<(Arc<Identity>, Option<Revocation>), Status> {
        let (need, Some(identities)) = (need(request.uri().path()), &self.identities) else {
            return Ok((Identity::anyone(), None));
        };
        if need == Need::Nothing {
            return Ok((Identity::anyone(), None));
        }
        let shown = Shown::by(request);
        let identity = shown.identity(&identities.now())?;
        match need {
            Need::Scope(scope) if !identity.scopes.contains(&scope) => {
                let name = if scope == Scope::Ingest { "ingest" } else { "query" };
                let sentence = format!("identity {:?} lacks the scope {name:?}", identity.name);
                Err(status::permission_denied("SCOPE_MISSING", sentence))
            }
            _ => {
                let (identities, admitted) = (identities.clone(), Arc::clone(&identity));
                Ok((identity, Some(Revocation { identities, shown, admitted })))
            }
        }
    }
}

/// The key of `Bearer KEY`; the scheme in any case, as HTTP has it.
pub(super) fn bearer(header: &[u8]) -> Option<&str> {
    let (scheme, key) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim_start())
}

impl From<Unknown> for Status {
    fn from(unknown: Unknown) -> Self {
        status::unauthenticated(match unknown {
            Unknown::NoKey => {
                "who calls is not known: send the header `authorization: Bearer KEY`, or show a client certificate"
            }
            Unknown::WrongKey => "the header authorization holds no key that is known",
            Unknown::NoCertificateKnown => {
                "no name of the client certificate stands for an identity"
            }
            Unknown::Expired => "the identity has expired",
        })
    }
}

fn log<B>(request: &Request<B>, status: &Status) {
    static LOG: LazyLock<Repeats> = LazyLock::new(|| Repeats::new("calls refused"));
    LOG.log(|| {
        let header =
            request.headers().get(AUTHORIZATION).and_then(|header| bearer(header.as_bytes()));
        let address = request.extensions().get::<Peer>().map(|peer| peer.address.to_string());
        let (path, key_id, code) = (request.uri().path(), header.and_then(key::id), status.code());
        tracing::warn!(path, address, key_id, ?code, "a call was refused: {}", status.message());
    });
}

impl Around for Gate {
    fn call(
        &self,
        mut request: Request<Body>,
        inside: impl FnOnce(Request<Body>) -> Answer,
    ) -> Answer {
        let (identity, revocation) = match self.admit(&request) {
            Ok(admitted) => admitted,
            Err(status) => {
                debug_assert!(matches!(
                    status.code(),
                    Code::Unauthenticated | Code::PermissionDenied
                ));
                log(&request, &status);
                return Box::pin(ready(Ok(status.into_http())));
            }
        };
        request.extensions_mut().insert(identity);
        let Some(revocation) = revocation else { return inside(request) };
        // Who is answered in a stream is told there. Who sends one is told as the last word, after what was read.
        if need(request.uri().path()) == Need::Scope(Scope::Query) {
            let response = inside(request);
            let ended = move |body| EndedBy::response(body, revocation.came());
            return Box::pin(async move { Ok(response.await?.map(ended)) });
        }
        Box::pin(inside(request.map(|body| EndedBy::request(body, revocation.came()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_health_is_open_and_each_service_has_its_scope() {
        assert_eq!(need("/grpc.health.v1.Health/Check"), Need::Nothing);
        assert_eq!(need("/tidegauge.v1.IngestService/Ingest"), Need::Scope(Scope::Ingest));
        assert_eq!(need("/tidegauge.v1.QueryService/GetLatest"), Need::Scope(Scope::Query));
        for other in [
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            "/",
            "",
            "/x/y",
            "/grpc.health.v1/Check",
        ] {
            assert_eq!(need(other), Need::AnyIdentity, "{other}");
        }
    }

    #[test]
    fn a_key_comes_after_the_word_bearer() {
        assert_eq!(bearer(b"Bearer abc"), Some("abc"));
        assert_eq!(bearer(b"bearer  abc"), Some("abc"));
        for wrong in [&b"abc"[..], b"Basic abc", b"", b"Bearer", b"\xff Bearer"] {
            assert_eq!(bearer(wrong), None);
        }
    }
}

//! The access layer: admits or refuses a call by its path, its headers and the client
//! certificate of its connection, before any of its body is read.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::future::ready;
use http::Request;
use http::header::AUTHORIZATION;
use tonic::body::Body;
use tonic::{Code, Status};

use super::file::{Identities, Unknown};
use super::revocation::{Credentials, Revocation};
use super::{Identity, Scope, key};
use crate::around::{Answer, Around};
use crate::connections::Peer;
use crate::ended_by::EndedBy;
use crate::reload::Reloaded;
use crate::status;
use crate::telemetry::Repeats;
use crate::under_way::HEALTH;

/// The permission that a call needs, determined by the service in its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// No credentials, because health probes have none.
    Nothing,
    /// Any known identity.
    AnyIdentity,
    /// An identity with this scope.
    Scope(Scope),
}

fn need(path: &str) -> Need {
    match path.trim_start_matches('/').split('/').next() {
        _ if path.starts_with(HEALTH) => Need::Nothing,
        Some("tidegauge.v1.IngestService") => Need::Scope(Scope::Ingest),
        Some("tidegauge.v1.QueryService") => Need::Scope(Scope::Query),
        _ => Need::AnyIdentity, // reflection and unknown services
    }
}

/// The access layer.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    /// `None` if authentication is off.
    identities: Option<Reloaded<Identities>>,
}

impl Gate {
    /// Reads the identities file, if one is configured, and reloads it when it changes.
    ///
    /// # Errors
    /// The file cannot be read or is invalid. The message gives the reason.
    pub(crate) async fn start(file: Option<&Path>, every: Duration) -> Result<Self, String> {
        let Some(file) = file else { return Ok(Self { identities: None }) };
        let make = |contents: &crate::reload::Contents| {
            let identities = Identities::parse(&contents.concat())?;
            tracing::info!(count = identities.count, "identities loaded");
            Ok(identities)
        };
        let identities =
            Reloaded::start("the identities file", vec![file.to_owned()], every, make).await;
        let identities = identities
            .map_err(|error| format!("TIDEGAUGE_IDENTITIES_FILE is {file:?}: {error}"))?;
        Ok(Self { identities: Some(identities) })
    }

    /// Authenticates the call. Also returns a [`Revocation`] if access can end while the call runs.
    fn admit<B>(
        &self,
        request: &Request<B>,
    ) -> Result<(Arc<Identity>, Option<Revocation>), Status> {
        let need = need(request.uri().path());
        let Some(identities) = &self.identities else {
            return Ok((Identity::anyone(), None));
        };
        if need == Need::Nothing {
            return Ok((Identity::anyone(), None));
        }
        let credentials = Credentials::by(request);
        let identity = credentials.identity(&identities.now())?;
        match need {
            Need::Scope(scope) if !identity.scopes.contains(&scope) => {
                let name = if scope == Scope::Ingest { "ingest" } else { "query" };
                let sentence = format!("identity {:?} lacks the scope {name:?}", identity.name);
                Err(status::permission_denied("SCOPE_MISSING", sentence))
            }
            _ => {
                let identities = identities.clone();
                let admitted = Arc::clone(&identity);
                Ok((identity, Some(Revocation { identities, credentials, admitted })))
            }
        }
    }
}

/// Returns the key of `Bearer KEY`. The scheme is case-insensitive, as in HTTP.
pub(super) fn bearer(header: &[u8]) -> Option<&str> {
    let (scheme, key) = std::str::from_utf8(header).ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim_start())
}

impl From<Unknown> for Status {
    fn from(unknown: Unknown) -> Self {
        status::unauthenticated(match unknown {
            Unknown::NoKey => {
                "missing credentials: send `authorization: Bearer KEY` or present a client \
                 certificate"
            }
            Unknown::WrongKey => "the authorization header contains no valid key",
            Unknown::NoCertificateKnown => {
                "no identity in the identities file matches this client certificate"
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
        let path = request.uri().path();
        let key_id = header.and_then(key::id);
        let code = status.code();
        tracing::warn!(path, address, key_id, ?code, "call refused: {}", status.message());
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
        // A query call gets the status in its response stream. An ingest call gets it as the last
        // item of its request stream, after everything that was already read.
        if need(request.uri().path()) == Need::Scope(Scope::Query) {
            let response = inside(request);
            let ended = move |body| EndedBy::response(body, revocation.revoked());
            return Box::pin(async move { Ok(response.await?.map(ended)) });
        }
        Box::pin(inside(request.map(|body| EndedBy::request(body, revocation.revoked()))))
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

//! Ends running calls whose caller loses access, so that a long stream does not outlive its key.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use tonic::Status;

use super::Identity;
use super::file::{Identities, Unknown};
use super::layer::bearer;
use crate::connections::Peer;
use crate::reload::Reloaded;
use crate::status;
use crate::tls::CertificateNames;

/// Credentials of a call. A key takes precedence over a certificate.
#[derive(Clone)]
pub(super) enum Credentials {
    Nothing,
    Header(HeaderValue),
    Certificate(Arc<CertificateNames>),
}

impl Credentials {
    /// Extracts the credentials of a request.
    pub(super) fn by<B>(request: &Request<B>) -> Self {
        let certificate = || request.extensions().get::<Peer>()?.certificate.clone();
        match request.headers().get(AUTHORIZATION) {
            Some(header) => Self::Header(header.clone()),
            None => certificate().map_or(Self::Nothing, Self::Certificate),
        }
    }

    /// Looks up the identity that the credentials have now.
    pub(super) fn identity(&self, identities: &Identities) -> Result<Arc<Identity>, Unknown> {
        match self {
            Self::Nothing => Err(Unknown::NoKey),
            Self::Header(header) => match bearer(header.as_bytes()) {
                Some(key) => identities.by_key(key, Utc::now()),
                None => Err(Unknown::WrongKey),
            },
            Self::Certificate(names) => identities.by_certificate(names, Utc::now()),
        }
    }
}

/// Watches the access of one running call.
pub(super) struct Revocation {
    pub(super) identities: Reloaded<Identities>,
    pub(super) credentials: Credentials,
    pub(super) admitted: Arc<Identity>,
}

impl Revocation {
    /// Waits until the caller would no longer be admitted or its permissions differ from those it
    /// was admitted with. Returns the status that ends the call.
    pub(super) async fn revoked(mut self) -> Status {
        loop {
            match self.credentials.identity(&self.identities.seen_now()) {
                Err(unknown) => return unknown.into(),
                Ok(now) if !may_do_the_same(&now, &self.admitted) => {
                    let name = &now.name;
                    let sentence =
                        format!("the permissions of identity {name:?} have changed: call again");
                    return status::permission_denied("PERMISSIONS_CHANGED", sentence);
                }
                Ok(now) => {
                    tokio::select! {
                        () = self.identities.changed() => {}
                        () = expiry(&now) => {}
                    }
                }
            }
        }
    }
}

fn may_do_the_same(one: &Identity, other: &Identity) -> bool {
    let same_names = one.name == other.name && one.producer_prefix == other.producer_prefix;
    same_names && one.scopes == other.scopes && one.devices == other.devices
}

async fn expiry(identity: &Identity) {
    match identity.expires {
        Some(expires) => {
            let left = (expires - Utc::now()).to_std().unwrap_or_default();
            tokio::time::sleep(left + Duration::from_millis(1)).await;
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;
    use tonic::Code;

    use super::*;

    const EVERY: Duration = Duration::from_millis(5);

    fn entry(name: &str, more: &str) -> String {
        format!(
            "[[identity]]\nname = \"{name}\"\nscopes = [\"ingest\"]\n\
             certificates = [\"cn:{name}\"]\n{more}\n"
        )
    }

    /// Runs a call with the certificate of "a" while the identities file changes from `before` to
    /// `after`. Returns the status that ended it, if any.
    async fn of_a(before: &str, after: &str) -> Option<Status> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), before).unwrap();
        let make = |contents: &crate::reload::Contents| Identities::parse(&contents.concat());
        let identities =
            Reloaded::start("a test", vec![file.path().to_owned()], EVERY, make).await.unwrap();
        let credentials =
            Credentials::Certificate(Arc::new(CertificateNames(vec!["cn:a".to_owned()])));
        let admitted = credentials.identity(&identities.now()).unwrap();
        std::fs::write(file.path(), after).unwrap();
        let mut changed = identities.clone();
        let revocation = Revocation { identities, credentials, admitted };
        let heard = async {
            changed.changed().await;
            tokio::time::sleep(10 * EVERY).await; // time for a wrong revocation to arrive
        };
        let revoked = revocation.revoked();
        tokio::select! {
            status = revoked => Some(status),
            () = heard => None,
        }
    }

    #[tokio::test]
    async fn it_comes_where_a_certificate_no_longer_stands_for_anybody() {
        let a = entry("a", "device_prefixes = [\"x/\"]");
        let b = entry("b", "device_prefixes = [\"x/\"]");
        let status = of_a(&[a, b.clone()].concat(), &b).await.unwrap();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(
            status.message().contains("matches this client certificate"),
            "{}",
            status.message()
        );
    }

    #[tokio::test]
    async fn it_comes_where_what_the_caller_may_do_changes() {
        let before = entry("a", "device_prefixes = [\"x/\"]");
        let after = entry("a", "device_prefixes = [\"x/y\"]");
        let status = of_a(&before, &after).await.unwrap();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert!(status.message().contains("have changed: call again"), "{}", status.message());
    }

    #[tokio::test]
    async fn it_comes_when_the_identity_expires() {
        let expires =
            (Utc::now() + Duration::from_millis(50)).to_rfc3339_opts(SecondsFormat::Millis, true);
        let content = entry("a", &format!("device_prefixes = [\"x/\"]\nexpires = {expires}"));
        let status = of_a(&content, &content).await.unwrap();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert!(status.message().contains("expired"), "{}", status.message());
    }

    #[tokio::test]
    async fn it_does_not_come_for_what_others_lose() {
        let a = entry("a", "device_prefixes = [\"x/\"]");
        let b = entry("b", "device_prefixes = [\"x/\"]");
        assert!(of_a(&[a.clone(), b].concat(), &a).await.is_none());
    }
}

//! TLS with certificates that can be replaced while the service runs. A new certificate applies to
//! new connections; open ones are not affected.
//!
//! The crypto provider is ring: sqlx already depends on it, and it builds in seconds on every
//! supported target with only a C compiler. Sessions are not resumed: gRPC connections are
//! long-lived, and a resumed session would keep an outdated client certificate.

mod names;

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};
use rustls::{InconsistentKeys, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::{ClientCertificate, TlsConfig};
use crate::reload::{Contents, Reloaded};
pub use names::CertificateNames;
use names::Validity;

/// ALPN protocol of HTTP/2, the only one that gRPC uses.
const ALPN: &[u8] = b"h2";

/// Acceptor of TLS connections.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    config: Reloaded<ServerConfig>,
    handshake_timeout: Duration,
}

impl Tls {
    /// Reads the certificates, if TLS is on, and reloads them when they change.
    ///
    /// An expired certificate is only logged at start, so that clients can decide whether to trust
    /// it. When it is reloaded, an expired certificate is refused.
    ///
    /// # Errors
    /// A file is invalid. The message names its variable.
    pub(crate) async fn start(config: &TlsConfig, every: Duration) -> Result<Option<Self>, String> {
        let Some((certificate, key)) = config.pair()? else { return Ok(None) };
        let files = [certificate, key].into_iter().chain(&config.client_ca).cloned().collect();
        let required = config.client_certificate;
        let mut first = true;
        let make = move |contents: &Contents| {
            let expired_is_usable = std::mem::take(&mut first);
            let (config, validity) = server_config(contents, required)?;
            match validity.fault() {
                Some(fault) if expired_is_usable => {
                    tracing::error!("TIDEGAUGE_TLS_CERTIFICATE: {fault}")
                }
                Some(fault) => return Err(fault),
                None => {
                    tracing::info!(valid_until = %validity.end(), "TLS certificate loaded")
                }
            }
            Ok(config)
        };
        let config_now = Reloaded::start("the TLS certificate", files, every, make).await?;
        Ok(Some(Self { config: config_now, handshake_timeout: config.handshake_timeout }))
    }

    /// Performs the handshake. Also returns the names in the client's certificate, if it has one.
    ///
    /// # Errors
    /// The handshake failed or timed out.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, Option<CertificateNames>), String> {
        let handshake = TlsAcceptor::from(self.config.now()).accept(stream);
        let stream = match tokio::time::timeout(self.handshake_timeout, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => {
                let limit = humantime::format_duration(self.handshake_timeout);
                return Err(format!(
                    "not completed within {limit} (TIDEGAUGE_TLS_HANDSHAKE_TIMEOUT)"
                ));
            }
        };
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let names = shown.map(CertificateNames::of).transpose()?;
        Ok((stream, names))
    }
}

/// Builds the configuration from the contents of the certificate, its key and, optionally, the
/// client certificate authorities.
fn server_config(
    contents: &Contents,
    client: ClientCertificate,
) -> Result<(ServerConfig, Validity), String> {
    let [certificate, key, client_ca @ ..] = contents else { return Err("no files".to_owned()) };
    let chain = certificates("TIDEGAUGE_TLS_CERTIFICATE", certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        format!("TIDEGAUGE_TLS_KEY: no valid private key in PEM found: {error}")
    })?;
    let validity = Validity::of(&chain[0])?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match client_ca.first() {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(roots(authorities)?, provider);
            let verifier = match client {
                ClientCertificate::Required => verifier,
                ClientCertificate::Optional => verifier.allow_unauthenticated(),
            };
            let unusable = |error| format!("TIDEGAUGE_TLS_CLIENT_CA: {error}");
            builder.with_client_cert_verifier(verifier.build().map_err(unusable)?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "the key in TIDEGAUGE_TLS_KEY does not match the certificate in \
             TIDEGAUGE_TLS_CERTIFICATE"
                .to_owned()
        }
        error => format!("TIDEGAUGE_TLS_CERTIFICATE and TIDEGAUGE_TLS_KEY: {error}"),
    })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok((config, validity))
}

fn certificates(variable: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{variable}: no certificate in PEM found")),
        Err(error) => Err(format!("{variable}: invalid certificate: {error}")),
    }
}

fn roots(pem: &[u8]) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for authority in certificates("TIDEGAUGE_TLS_CLIENT_CA", pem)? {
        roots.add(authority).map_err(|error| format!("TIDEGAUGE_TLS_CLIENT_CA: {error}"))?;
    }
    Ok(Arc::new(roots))
}

#[cfg(test)]
mod tests;

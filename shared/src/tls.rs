//! TLS with certificates that may change while the service runs. New connections get what holds when they come; those that
//! are there stay.
//!
//! The crypto provider is ring: sqlx brings it already, and it builds with a C compiler alone, in seconds and on every target
//! of ours. Sessions are not resumed: gRPC connections are long, and a resumed one would carry an old client certificate on.

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

/// gRPC speaks nothing else.
const ALPN: &[u8] = b"h2";

/// Accepts TLS connections.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    config: Reloaded<ServerConfig>,
    handshake_timeout: Duration,
}

impl Tls {
    /// Reads the certificates, where calls are to be encrypted, and keeps looking at them.
    ///
    /// # Errors
    /// Says which variable names something that is not usable. A certificate that has expired is told in the log: clients
    /// decide. A later one that has expired is not taken.
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
                    tracing::info!(valid_until = %validity.end(), "the TLS certificate is valid")
                }
            }
            Ok(config)
        };
        let config_now = Reloaded::start("the TLS certificate", files, every, make).await?;
        Ok(Some(Self { config: config_now, handshake_timeout: config.handshake_timeout }))
    }

    /// The handshake, and what the client's certificate names it.
    ///
    /// # Errors
    /// It failed, or took too long.
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
                return Err(format!("not done within {limit} (TIDEGAUGE_TLS_HANDSHAKE_TIMEOUT)"));
            }
        };
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let names = shown.map(CertificateNames::of).transpose()?;
        Ok((stream, names))
    }
}

/// From the files of the certificate, of its key and, where clients show certificates, of their authorities.
fn server_config(
    contents: &Contents,
    client: ClientCertificate,
) -> Result<(ServerConfig, Validity), String> {
    let [certificate, key, client_ca @ ..] = contents else { return Err("no files".to_owned()) };
    let chain = certificates("TIDEGAUGE_TLS_CERTIFICATE", certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| {
        format!("TIDEGAUGE_TLS_KEY: the file holds no private key in PEM: {error}")
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
            "the key of TIDEGAUGE_TLS_KEY does not belong to the certificate of TIDEGAUGE_TLS_CERTIFICATE".to_owned()
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
        Ok(_) => Err(format!("{variable}: the file holds no certificate in PEM")),
        Err(error) => {
            Err(format!("{variable}: the file holds a certificate that cannot be read: {error}"))
        }
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

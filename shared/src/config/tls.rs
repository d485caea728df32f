//! Whether calls are encrypted, and whether clients show certificates.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values;

/// Whether calls are encrypted, and whether clients show certificates.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub struct TlsConfig {
    /// Certificate chain in PEM, the service's own first; with it and its key, calls are served over TLS only
    #[arg(long = "tls-certificate", env = "TIDEGAUGE_TLS_CERTIFICATE", value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Private key of the certificate in PEM
    #[arg(long = "tls-key", env = "TIDEGAUGE_TLS_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Authorities in PEM that sign the certificates of clients
    #[arg(long = "tls-client-ca", env = "TIDEGAUGE_TLS_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Whether a client must show a certificate, where there are authorities for them
    #[arg(long = "tls-client-certificate", env = "TIDEGAUGE_TLS_CLIENT_CERTIFICATE", value_enum,
          default_value_t = ClientCertificate::Optional)]
    pub client_certificate: ClientCertificate,
    /// Longest time for a TLS handshake
    #[arg(long = "tls-handshake-timeout", env = "TIDEGAUGE_TLS_HANDSHAKE_TIMEOUT", default_value = "10s",
          value_name = "DURATION", value_parser = values::duration)]
    pub handshake_timeout: Duration,
    /// Most TLS handshakes at once; one more ends the oldest
    #[arg(long = "tls-max-handshakes", env = "TIDEGAUGE_TLS_MAX_HANDSHAKES", default_value = "100",
          value_name = "NUMBER", value_parser = values::count)]
    pub max_handshakes: NonZeroUsize,
}

/// Whether a client must show a certificate.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// One that is shown must be valid.
    Optional,
    /// No connection without one.
    Required,
}

impl TlsConfig {
    /// The files of a certificate and its key, where calls are encrypted.
    ///
    /// # Errors
    /// One is set without the other, or something is set that needs them.
    pub fn pair(&self) -> Result<Option<(&PathBuf, &PathBuf)>, String> {
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) if self.client_ca.is_none() => Ok(None),
            (None, None) => Err("TIDEGAUGE_TLS_CLIENT_CA is set, but TLS is off: set TIDEGAUGE_TLS_CERTIFICATE and \
                     TIDEGAUGE_TLS_KEY as well"
                .to_owned()),
            (Some(_), None) => {
                Err("TIDEGAUGE_TLS_CERTIFICATE is set, but TIDEGAUGE_TLS_KEY is not: set both".to_owned())
            }
            (None, Some(_)) => {
                Err("TIDEGAUGE_TLS_KEY is set, but TIDEGAUGE_TLS_CERTIFICATE is not: set both".to_owned())
            }
        }
    }
}

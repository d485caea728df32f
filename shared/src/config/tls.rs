//! Configuration of TLS and client certificates.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values;

/// Settings of TLS.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub struct TlsConfig {
    /// Certificate chain in PEM, the service's own certificate first; with it, only calls over TLS
    /// are served
    #[arg(long = "tls-certificate", env = "TIDEGAUGE_TLS_CERTIFICATE", value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Private key of the certificate in PEM
    #[arg(long = "tls-key", env = "TIDEGAUGE_TLS_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Certificate authorities in PEM for verifying client certificates
    #[arg(long = "tls-client-ca", env = "TIDEGAUGE_TLS_CLIENT_CA", value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Whether clients must present a certificate; only used with TIDEGAUGE_TLS_CLIENT_CA
    #[arg(long = "tls-client-certificate", env = "TIDEGAUGE_TLS_CLIENT_CERTIFICATE", value_enum,
          default_value_t = ClientCertificate::Optional)]
    pub client_certificate: ClientCertificate,
    /// Maximum duration of a TLS handshake
    #[arg(
        long = "tls-handshake-timeout",
        env = "TIDEGAUGE_TLS_HANDSHAKE_TIMEOUT",
        default_value = "10s",
        value_name = "DURATION",
        value_parser = values::duration
    )]
    pub handshake_timeout: Duration,
    /// Maximum number of concurrent TLS handshakes; a further handshake ends the oldest
    #[arg(long = "tls-max-handshakes", env = "TIDEGAUGE_TLS_MAX_HANDSHAKES", default_value = "100",
          value_name = "NUMBER", value_parser = values::count)]
    pub max_handshakes: NonZeroUsize,
}

/// Whether clients must present a certificate.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificate {
    /// A certificate is optional, but must be valid if presented.
    Optional,
    /// Connections without a valid certificate are refused.
    Required,
}

impl TlsConfig {
    /// Returns the files of the certificate and its key, or `None` if TLS is off.
    ///
    /// # Errors
    /// Only one of the two is set, or another setting needs both.
    pub fn pair(&self) -> Result<Option<(&PathBuf, &PathBuf)>, String> {
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) if self.client_ca.is_none() => Ok(None),
            (None, None) => Err("TIDEGAUGE_TLS_CLIENT_CA is set, but TLS is off: set \
                     TIDEGAUGE_TLS_CERTIFICATE and TIDEGAUGE_TLS_KEY as well"
                .to_owned()),
            (Some(_), None) => Err("TIDEGAUGE_TLS_CERTIFICATE is set, but TIDEGAUGE_TLS_KEY is \
                     not: set both"
                .to_owned()),
            (None, Some(_)) => Err("TIDEGAUGE_TLS_KEY is set, but TIDEGAUGE_TLS_CERTIFICATE is \
                     not: set both"
                .to_owned()),
        }
    }
}

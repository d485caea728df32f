//! Names and validity period of certificates.

use chrono::{DateTime, Utc};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

/// Names in a client certificate, each with the prefix used in the identities file: `uri:`, `dns:`
/// or `cn:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateNames(pub(crate) Vec<String>);

impl CertificateNames {
    /// Extracts the names of a certificate that was already verified.
    ///
    /// # Errors
    /// The certificate cannot be parsed.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let certificate = parse(certificate)?;
        let alternative =
            certificate.subject_alternative_name().map_err(|error| error.to_string())?;
        let alternative = alternative.iter().flat_map(|extension| &extension.value.general_names);
        let mut names: Vec<String> = alternative
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(format!("uri:{uri}")),
                GeneralName::DNSName(name) => Some(format!("dns:{name}")),
                _ => None,
            })
            .collect();
        names.extend(
            certificate
                .subject()
                .iter_common_name()
                .filter_map(|name| name.as_str().ok())
                .map(|name| format!("cn:{name}")),
        );
        Ok(Self(names))
    }
}

/// Validity period of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl Validity {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let certificate = parse(certificate)?;
        let time =
            |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let validity = certificate.validity();
        Ok(Self {
            start: time(validity.not_before.timestamp()),
            end: time(validity.not_after.timestamp()),
        })
    }

    pub(super) fn end(self) -> DateTime<Utc> {
        self.end
    }

    /// Returns why clients would refuse the certificate now, if they would.
    pub(super) fn fault(self) -> Option<String> {
        let now = Utc::now();
        if now > self.end {
            return Some(format!("the certificate expired at {}", self.end));
        }
        (now < self.start).then(|| format!("the certificate is not valid before {}", self.start))
    }
}

fn parse<'c>(certificate: &'c CertificateDer<'_>) -> Result<X509Certificate<'c>, String> {
    let parsed = X509Certificate::from_der(certificate);
    parsed
        .map(|(_, certificate)| certificate)
        .map_err(|error| format!("invalid certificate: {error}"))
}

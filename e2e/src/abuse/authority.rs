//! Certificates, generated on demand.

use anyhow::Context as _;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType, date_time_ymd,
};

/// A certificate authority.
pub(super) struct Authority {
    /// The authority's own certificate, in PEM.
    pub(super) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, both in PEM.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new(name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// Issues a server certificate for localhost.
    pub(super) fn server(&self) -> anyhow::Result<Pair> {
        self.sign(CertificateParams::new(vec!["localhost".to_owned()])?)
    }

    /// Issues a server certificate for localhost that expired in 2020.
    pub(super) fn expired_server(&self) -> anyhow::Result<Pair> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 2, 1);
        self.sign(params)
    }

    /// Issues a client certificate for a URI.
    pub(super) fn client(&self, uri: &str) -> anyhow::Result<Pair> {
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(SanType::URI(Ia5String::try_from(uri).context("a URI")?));
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> anyhow::Result<Pair> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair { certificate, key: key.serialize_pem() })
    }
}

use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

use super::*;

fn pair(params: CertificateParams) -> (Vec<u8>, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem().into_bytes(), key.serialize_pem().into_bytes())
}

fn localhost() -> CertificateParams {
    CertificateParams::new(vec!["localhost".to_owned()]).unwrap()
}

fn refused(contents: &[&[u8]]) -> String {
    let contents: Vec<_> = contents.iter().map(|content| content.to_vec()).collect();
    server_config(&contents, ClientCertificate::Optional).unwrap_err()
}

#[test]
fn what_is_wrong_with_the_files_is_told_with_the_variable() {
    let (certificate, key) = pair(localhost());
    let (_, other) = pair(localhost());
    assert!(
        server_config(&[certificate.clone(), key.clone()], ClientCertificate::Optional).is_ok()
    );
    assert_eq!(
        refused(&[&certificate, &other]),
        "the key in TIDEGAUGE_TLS_KEY does not match the certificate in TIDEGAUGE_TLS_CERTIFICATE"
    );
    assert_eq!(refused(&[b"", &key]), "TIDEGAUGE_TLS_CERTIFICATE: no certificate in PEM found");
    assert!(
        refused(&[&certificate, b"x"])
            .starts_with("TIDEGAUGE_TLS_KEY: no valid private key in PEM found")
    );
    assert!(
        refused(&[&certificate, &key, b""])
            .starts_with("TIDEGAUGE_TLS_CLIENT_CA: no certificate in PEM found")
    );
}

#[test]
fn a_certificate_names_its_holder_by_uri_dns_and_common_name() {
    let mut params = CertificateParams::new(vec!["gateway-7.example".to_owned()]).unwrap();
    params
        .subject_alt_names
        .push(SanType::URI(Ia5String::try_from("spiffe://plant/gateway-7").unwrap()));
    params.distinguished_name.push(DnType::CommonName, "gateway 7");
    let key = KeyPair::generate().unwrap();
    let names = CertificateNames::of(params.self_signed(&key).unwrap().der()).unwrap();
    for name in ["dns:gateway-7.example", "uri:spiffe://plant/gateway-7", "cn:gateway 7"] {
        assert!(names.0.contains(&name.to_owned()), "{names:?}");
    }
}

#[test]
fn an_expired_certificate_is_known_to_be() {
    let mut params = localhost();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2020, 2, 1);
    let key = KeyPair::generate().unwrap();
    let validity = Validity::of(params.self_signed(&key).unwrap().der()).unwrap();
    assert_eq!(validity.fault().unwrap(), "the certificate expired at 2020-02-01 00:00:00 UTC");
}

//! Environment variables for TLS and identities, with the files that they name.

use std::path::Path;

use super::authority::Authority;

/// Writes the files of TLS and identities. Returns the variables that name them, and the authority
/// of the certificates.
pub(super) fn guard(
    folder: &Path,
    identities: &str,
) -> anyhow::Result<(Vec<(&'static str, String)>, Authority)> {
    let authority = Authority::new("Tidegauge test")?;
    let pair = authority.server()?;
    let contents = [
        ("TIDEGAUGE_TLS_CERTIFICATE", "tls.crt", pair.certificate.as_str()),
        ("TIDEGAUGE_TLS_KEY", "tls.key", &pair.key),
        ("TIDEGAUGE_TLS_CLIENT_CA", "ca.crt", &authority.certificate),
        ("TIDEGAUGE_IDENTITIES_FILE", "identities.toml", identities),
    ];
    let mut variables = vec![("TIDEGAUGE_RELOAD_INTERVAL", "50ms".to_owned())];
    for (variable, name, content) in contents {
        let file = folder.join(name);
        std::fs::write(&file, content)?;
        variables.push((variable, file.display().to_string()));
    }
    Ok((variables, authority))
}

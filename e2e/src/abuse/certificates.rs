//! Client certificates, on a service that requires one from each client and has no keys.

use super::authority::{Authority, Pair};
use super::caller::{Caller, code};
use super::guard::guard;
use super::program::Program;
use super::{Outcome, Setting};
use crate::{Sql, batch, now, point, unique};

const GATEWAY: &str = "spiffe://plant/gateway-7";

pub(super) async fn run(setting: &Setting) -> anyhow::Result<Vec<Outcome>> {
    let folder = tempfile::tempdir()?;
    let own = unique("certified") + "/";
    let identity = with_certificate("gateway", "ingest", &own, &format!("uri:{GATEWAY}"));
    let (mut variables, authority) = guard(folder.path(), &identity)?;
    variables.push(("TIDEGAUGE_TLS_CLIENT_CERTIFICATE", "required".to_owned()));
    let log = folder.path().join("ingest.log");
    let service =
        Program::start(&setting.ingest_service, &setting.database_url, &variables, log).await?;
    // The certificate is valid, but no identity has it.
    let prober = authority.client("spiffe://plant/prober")?;
    Caller::connect(&service.tls_url(), &authority.certificate, Some(&prober))
        .await?
        .wait_until_ready()
        .await?;
    let stranger = Authority::new("Another")?;
    let mut outcomes = Vec::new();
    for (case, shown, expected) in [
        ("send_without_certificate", None, "no connection, 0 stored"),
        (
            "send_with_certificate_of_another_authority",
            Some(stranger.client(GATEWAY)?),
            "no connection, 0 stored",
        ),
        (
            "send_with_certificate_of_nobody",
            Some(authority.client("spiffe://plant/8")?),
            "Unauthenticated, 0 stored",
        ),
        ("send_with_own_certificate", Some(authority.client(GATEWAY)?), "Ok, 1 stored"),
    ] {
        let device = unique(&format!("{own}device"));
        let answer = attempt(&service, &authority, shown.as_ref(), &device).await;
        let mut sql = Sql::connect_to(&setting.database_url).await;
        outcomes.push(Outcome::exactly(
            case,
            expected,
            format!("{answer}, {} stored", sql.count(&device).await),
        ));
        sql.close().await;
    }
    Ok(outcomes)
}

/// Makes a call. A failed handshake shows in the connection or, with TLS 1.3, in the first call.
async fn attempt(
    service: &Program,
    authority: &Authority,
    shown: Option<&Pair>,
    device: &str,
) -> String {
    let Ok(caller) = Caller::connect(&service.tls_url(), &authority.certificate, shown).await
    else {
        return "no connection".to_owned();
    };
    let answer = caller.send(batch(vec![point(device, now(), 1.0)])).await;
    match &answer {
        // A status with a source was made by the client, not by the service.
        Err(status) if std::error::Error::source(status).is_some() => "no connection".to_owned(),
        answer => code(answer),
    }
}

/// Returns an identities entry for a client certificate.
fn with_certificate(name: &str, scope: &str, device_prefix: &str, certificate: &str) -> String {
    format!(
        "[[identity]]\nname = \"{name}\"\nscopes = [\"{scope}\"]\n\
         device_prefixes = [\"{device_prefix}\"]\ncertificates = [\"{certificate}\"]\n"
    )
}

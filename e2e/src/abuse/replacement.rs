//! The certificate and identities are replaced under load, as Kubernetes replaces a mounted secret:
//! a symbolic link to a folder moves. Valid files apply to new connections. Invalid files are
//! ignored and the old ones stay.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::authority::{Authority, Pair};
use super::caller::{Caller, code};
use super::program::Program;
use super::{Outcome, PATIENCE, Setting};
use crate::{KeyedIdentity, batch, now, point, unique};

const CLIENTS: usize = 8;

pub(super) async fn run(setting: &Setting) -> anyhow::Result<Vec<Outcome>> {
    let own = unique("replaced");
    let program = &setting.ingest_service;
    let arguments = ["--scope", "ingest", "--device-prefix", &own];
    let staying = KeyedIdentity::make(program, "staying", &arguments).await?;
    let leaving = KeyedIdentity::make(program, "leaving", &arguments).await?;
    let coming = KeyedIdentity::make(program, "coming", &arguments).await?;
    let authority = Authority::new("Tidegauge test")?;
    let first = authority.server()?;
    let second = authority.server()?;
    let secret = Secret::new()?;
    secret.hold("1", &first, &entries([&staying, &leaving]))?;
    let log = secret.folder.path().join("ingest.log");
    let service = Program::start(program, &setting.database_url, &secret.variables(), log).await?;
    let caller = Caller::connect(&service.tls_url(), &authority.certificate, None).await?;
    caller.wait_until_ready().await?;

    let load = Load::start(&service, &authority, &staying.key, &own);
    load.progress().await?;
    let before = shown(&service, &authority).await?;
    secret.hold("2", &second, &entries([&staying, &coming]))?;
    let wanted = CertificateDer::from_pem_slice(second.certificate.as_bytes())?;
    eventually("the new certificate", async || Ok(shown(&service, &authority).await? == wanted))
        .await?;
    let caller = Caller::connect(&service.tls_url(), &authority.certificate, None).await?;
    let send = async |key: &str| {
        code(&caller.with_key(key).send(batch(vec![point(&own, now(), 1.0)])).await)
    };
    eventually("the new key", async || Ok(send(&coming.key).await == "Ok")).await?;
    let left = send(&leaving.key).await;
    load.progress().await?;

    let mut outcomes = vec![
        Outcome::exactly("certificate_replaced_under_load", "another one", same(before == wanted)),
        Outcome::exactly("key_taken_away_under_load", "Unauthenticated", left),
    ];
    let mismatched = Pair { certificate: second.certificate.clone(), key: first.key.clone() };
    for (case, pair, words) in [
        ("certificate_and_key_that_do_not_fit", mismatched, "does not match the certificate"),
        ("certificate_that_has_expired", authority.expired_server()?, "the certificate expired at"),
    ] {
        secret.hold(case, &pair, "[[identity]]\nname = \"nobody\"\n")?;
        service.wait_for_log(words).await?;
        service
            .wait_for_log(
                "the identities file changed, but the new content is invalid: keeping the old one",
            )
            .await?;
        let stays = shown(&service, &authority).await? == wanted && send(&coming.key).await == "Ok";
        let seen = if stays { "the old ones stay" } else { "the invalid ones apply" };
        outcomes.push(Outcome::exactly(case, "the old ones stay", seen));
    }
    load.progress().await?;
    outcomes.push(load.finish().await?);
    Ok(outcomes)
}

/// Returns an identities file with these entries.
fn entries(identities: [&KeyedIdentity; 2]) -> String {
    identities.map(|identity| identity.entry.as_str()).concat()
}

fn same(same: bool) -> &'static str {
    if same { "the same" } else { "another one" }
}

async fn eventually(
    what: &str,
    mut condition: impl AsyncFnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let reached = async {
        while !condition().await? {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, reached)
        .await
        .with_context(|| format!("not reached within {PATIENCE:?}: {what}"))?
}

/// A folder as Kubernetes mounts a secret: files are links through a folder that is itself a link.
struct Secret {
    folder: tempfile::TempDir,
}

impl Secret {
    const FILES: [(&'static str, &'static str); 3] = [
        ("TIDEGAUGE_TLS_CERTIFICATE", "tls.crt"),
        ("TIDEGAUGE_TLS_KEY", "tls.key"),
        ("TIDEGAUGE_IDENTITIES_FILE", "identities.toml"),
    ];

    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        for (_, file) in Self::FILES {
            symlink(Path::new("..data").join(file), folder.path().join(file))?;
        }
        Ok(Self { folder })
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let path = |file: &str| self.folder.path().join(file).display().to_string();
        let files = Self::FILES.into_iter().map(|(variable, file)| (variable, path(file)));
        files.chain([("TIDEGAUGE_RELOAD_INTERVAL", "50ms".to_owned())]).collect()
    }

    /// Writes a new version beside the old one, then moves the link atomically.
    fn hold(&self, version: &str, pair: &Pair, identities: &str) -> anyhow::Result<()> {
        let inside = |name: &str| -> PathBuf { self.folder.path().join(name) };
        std::fs::create_dir(inside(version))?;
        for ((_, file), content) in
            Self::FILES.into_iter().zip([&pair.certificate, &pair.key, &identities.to_owned()])
        {
            std::fs::write(inside(version).join(file), content)?;
        }
        symlink(version, inside("..data_new"))?;
        Ok(std::fs::rename(inside("..data_new"), inside("..data"))?)
    }
}

/// Returns the certificate that the service shows to a new connection.
async fn shown(
    service: &Program,
    authority: &Authority,
) -> anyhow::Result<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(&service.address).await?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
    let shown =
        stream.get_ref().1.peer_certificates().and_then(<[_]>::first).context("no certificate")?;
    Ok(shown.clone().into_owned())
}

/// Clients that send continuously. Every second client opens a new connection for each call.
struct Load {
    clients: JoinSet<anyhow::Result<()>>,
    calls: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Load {
    fn start(service: &Program, authority: &Authority, key: &str, device: &str) -> Self {
        let calls = Arc::<AtomicU64>::default();
        let stop = CancellationToken::new();
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let url = service.tls_url();
            let authority = authority.certificate.clone();
            let key = key.to_owned();
            let calls = Arc::clone(&calls);
            let stop = stop.clone();
            let device = device.to_owned();
            clients.spawn(async move {
                let connect = async || {
                    anyhow::Ok(Caller::connect(&url, &authority, None).await?.with_key(&key))
                };
                let mut caller = connect().await?;
                while !stop.is_cancelled() {
                    if number % 2 == 0 {
                        caller = connect().await?;
                    }
                    caller.send(batch(vec![point(&device, now(), 1.0)])).await?;
                    calls.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            });
        }
        Self { clients, calls, stop }
    }

    /// Waits for another hundred calls.
    async fn progress(&self) -> anyhow::Result<()> {
        let wanted = self.calls.load(Ordering::Relaxed) + 100;
        eventually(
            "a hundred more calls",
            async || Ok(self.calls.load(Ordering::Relaxed) >= wanted),
        )
        .await
    }

    async fn finish(mut self) -> anyhow::Result<Outcome> {
        self.stop.cancel();
        let mut failed = Vec::new();
        while let Some(ended) = tokio::time::timeout(PATIENCE, self.clients.join_next())
            .await
            .context("a call under load does not end")?
        {
            failed.extend(ended?.err().map(|error| format!("{error:#}")));
        }
        let seen = format!(
            "{} failed calls{}",
            failed.len(),
            failed.first().map(|why| format!(": {why}")).unwrap_or_default()
        );
        Ok(Outcome::exactly("calls_under_replacement", "0 failed calls", seen))
    }
}

//! Unfinished TLS handshakes and bytes that are no handshake, many at the same time, while other
//! clients are served.

use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::caller::Caller;
use super::guard::guard;
use super::program::Program;
use super::{Outcome, PATIENCE, Setting};
use crate::{KeyedIdentity, batch, now, point, unique};

/// Limit on concurrent handshakes. Many more are attempted.
const MOST: usize = 16;
const SLOW: usize = 4 * MOST;
const GARBAGE: usize = MOST;
/// Number of calls made meanwhile, each on a connection of its own.
const CALLS: usize = 20;

pub(super) async fn run(setting: &Setting) -> anyhow::Result<Vec<Outcome>> {
    let folder = tempfile::tempdir()?;
    let own = unique("handshakes");
    let arguments = ["--scope", "ingest", "--device-prefix", &own];
    let writer = KeyedIdentity::make(&setting.ingest_service, "writer", &arguments).await?;
    let (mut variables, authority) = guard(folder.path(), &writer.entry)?;
    variables.push(("TIDEGAUGE_TLS_MAX_HANDSHAKES", MOST.to_string()));
    variables.push(("TIDEGAUGE_TLS_HANDSHAKE_TIMEOUT", "3s".to_owned()));
    let log = folder.path().join("ingest.log");
    let service =
        Program::start(&setting.ingest_service, &setting.database_url, &variables, log).await?;
    Caller::connect(&service.tls_url(), &authority.certificate, None)
        .await?
        .wait_until_ready()
        .await?;
    let unfinished = unfinished_handshakes(&service.address).await?;
    let mut answered = 0;
    for _ in 0..CALLS {
        let caller = Caller::connect(&service.tls_url(), &authority.certificate, None)
            .await?
            .with_key(&writer.key);
        caller.send(batch(vec![point(&own, now(), 1.0)])).await?;
        answered += 1;
    }
    let mut closed = 0;
    for mut stream in unfinished {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        // The service may close or reset the connection.
        let _ = ended.context("an unfinished handshake was not closed in time")?;
        closed += 1;
    }
    tokio::time::timeout(
        Duration::from_secs(10),
        service.wait_for_log("too many concurrent TLS handshakes"),
    )
    .await??;
    Ok(vec![
        Outcome::exactly(
            "slow_and_garbage_handshakes",
            format!("{} closed", SLOW + GARBAGE),
            format!("{closed} closed"),
        ),
        Outcome::exactly(
            "calls_meanwhile",
            format!("{CALLS} answered"),
            format!("{answered} answered"),
        ),
    ])
}

/// Opens connections that send garbage, the beginning of a handshake, or nothing.
async fn unfinished_handshakes(address: &str) -> anyhow::Result<Vec<TcpStream>> {
    let mut connections = Vec::new();
    for number in 0..SLOW + GARBAGE {
        let mut stream = TcpStream::connect(address).await?;
        if number < GARBAGE {
            // The service may have closed the connection already.
            let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n and more garbage").await;
        } else if number % 2 == 0 {
            // The first bytes of a ClientHello, and nothing after them.
            let _ = stream.write_all(&[22, 3, 1, 2, 0, 1]).await;
        }
        connections.push(stream);
    }
    Ok(connections)
}

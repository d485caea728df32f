//! A server that listens on a port chosen beforehand and ends with the bench.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// How long a server may take to listen, and to end.
const TIMEOUT: Duration = Duration::from_secs(40);

/// A running server.
pub(super) struct Process {
    name: &'static str,
    child: Child,
    /// HOST:PORT.
    pub(super) address: String,
}

/// A port that is free now.
pub(super) fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

impl Process {
    /// Starts a server and waits until it takes connections. What it prints goes to a file.
    pub(super) async fn start(
        name: &'static str,
        command: &mut Command,
        address: String,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let output = std::fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let mut process = Self { name, child, address };
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect(&process.address).await.is_err() {
            let ended = process.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("{name} does not listen on {}; it said: {said}", process.address);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(process)
    }

    /// Ends it: asks first, kills after a while.
    pub(super) async fn stop(mut self) {
        if let Some(id) = self.child.id() {
            let _ = Command::new("kill").args(["-TERM", &id.to_string()]).status().await;
        }
        if tokio::time::timeout(TIMEOUT, self.child.wait()).await.is_err() {
            eprintln!("{} did not end within {TIMEOUT:?}; killing it", self.name);
            let _ = self.child.kill().await;
        }
    }
}

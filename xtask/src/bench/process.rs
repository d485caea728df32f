//! Rival server processes, which listen on a port chosen beforehand and end with the benchmark.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Time limit for a server to listen, and to end.
const TIMEOUT: Duration = Duration::from_secs(40);

/// A running server.
pub(super) struct RivalProcess {
    name: &'static str,
    child: Child,
    /// Address as `HOST:PORT`.
    pub(super) address: String,
}

/// Returns an address with a port that is currently free.
pub(super) fn free_address() -> anyhow::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

impl RivalProcess {
    /// Starts a server and waits until it accepts connections. Its output goes to the file `log`.
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
                let output = std::fs::read_to_string(log).unwrap_or_default();
                bail!("{name} does not listen on {}; its output: {output}", process.address);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(process)
    }

    /// Stops the server: sends SIGTERM, and kills it if it does not end in time.
    pub(super) async fn stop(mut self) {
        if let Some(id) = self.child.id() {
            let _ = Command::new("kill").args(["-TERM", &id.to_string()]).status().await;
        }
        if tokio::time::timeout(TIMEOUT, self.child.wait()).await.is_err() {
            eprintln!("{} did not end within {TIMEOUT:?} of SIGTERM; killing it", self.name);
            let _ = self.child.kill().await;
        }
    }
}

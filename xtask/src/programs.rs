//! Starts other programs, waits for them and stops them. A program started here is killed when the
//! command ends.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long a server may take to print the address it listens on.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a server may take to exit after SIGTERM, before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(35);

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// Builds a command that runs in the root of the repository. `program` is looked up on the PATH.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).kill_on_drop(true);
    // `cargo run` describes xtask in these variables. A nested cargo must not inherit them:
    // build scripts that read them would see a change and rebuild their dependents each time.
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command until it exits. Its standard output goes to standard error.
pub(crate) async fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = format!("{:?}", command.as_std());
    let status = command
        .stdout(std::io::stderr())
        .status()
        .await
        .with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{name} failed: {status}");
    }
    Ok(())
}

/// Installs the npm packages of a folder's lock file. Does nothing if they are up to date.
pub(crate) async fn npm_ci(folder: &str) -> anyhow::Result<()> {
    let folder = root().join(folder);
    let installed = std::fs::metadata(folder.join("node_modules/.package-lock.json"))
        .and_then(|file| file.modified());
    let required =
        std::fs::metadata(folder.join("package-lock.json")).and_then(|file| file.modified());
    if matches!((installed, required), (Ok(installed), Ok(required)) if installed >= required) {
        return Ok(());
    }
    run(command("npm")
        .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(folder))
    .await
}

/// A server that runs while the command does.
pub(crate) struct ServerProcess {
    name: &'static str,
    child: Child,
    /// The address that it printed after `listening on `.
    pub(crate) address: String,
}

impl ServerProcess {
    /// Starts a program and waits for its first line, which must be `listening on ADDRESS`.
    pub(crate) async fn start(name: &'static str, command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take().context("the program has no standard output")?;
        let mut line = String::new();
        let mut lines = BufReader::new(stdout);
        let read = tokio::time::timeout(START_TIMEOUT, lines.read_line(&mut line)).await;
        read.with_context(|| {
            format!("{name} did not print its address within {START_TIMEOUT:?}")
        })??;
        let Some(address) = line.trim_end().strip_prefix("listening on ") else {
            let status = child.wait().await?;
            bail!("{name} ended ({status}) before it printed its address");
        };
        Ok(Self { name, address: address.to_owned(), child })
    }

    /// Returns the process id, or `None` if the program has exited.
    pub(crate) fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Stops the program with SIGTERM, and kills it if it does not exit in time.
    pub(crate) async fn stop(mut self) {
        if let Some(id) = self.child.id() {
            let _ = Command::new("kill").args(["-TERM", &id.to_string()]).status().await;
        }
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            eprintln!("{} did not exit within {STOP_TIMEOUT:?} of SIGTERM; killing it", self.name);
            let _ = self.child.kill().await;
        }
    }
}

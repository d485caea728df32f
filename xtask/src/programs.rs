//! Programs that a command starts, waits for and ends. Whatever is started here ends with the command.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long a program may take to say where it listens.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a program may take to end after SIGTERM.
const END_TIMEOUT: Duration = Duration::from_secs(35);

/// The checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// A command in the checkout, by its name on the PATH.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).kill_on_drop(true);
    // What cargo told this command of itself is not for a cargo under it: build scripts that look at it would run again,
    // and the crates above them be built again, at every change between the two.
    for (name, _) in std::env::vars() {
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end; what it prints goes to standard error.
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

/// Installs a folder's npm packages as its lock file has them, unless that has been done.
pub(crate) async fn npm_ci(folder: &str) -> anyhow::Result<()> {
    let folder = root().join(folder);
    let installed = std::fs::metadata(folder.join("node_modules/.package-lock.json"))
        .and_then(|file| file.modified());
    let wanted =
        std::fs::metadata(folder.join("package-lock.json")).and_then(|file| file.modified());
    if matches!((installed, wanted), (Ok(installed), Ok(wanted)) if installed >= wanted) {
        return Ok(());
    }
    run(command("npm")
        .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(folder))
    .await
}

/// A server that runs beside the command.
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    /// What it said after `listening on `.
    pub(crate) address: String,
}

impl Server {
    /// Starts a program that prints `listening on ADDRESS` as its first line, and waits for that line.
    pub(crate) async fn start(name: &'static str, command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut line = String::new();
        let mut lines = BufReader::new(stdout);
        let read = tokio::time::timeout(START_TIMEOUT, lines.read_line(&mut line)).await;
        read.with_context(|| format!("{name} did not start within {START_TIMEOUT:?}"))??;
        let Some(address) = line.trim_end().strip_prefix("listening on ") else {
            let status = child.wait().await?;
            bail!("{name} did not start: {status}");
        };
        Ok(Self { name, address: address.to_owned(), child })
    }

    /// `None` once it has ended.
    pub(crate) fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends the program: asks first, kills after a while.
    pub(crate) async fn stop(mut self) {
        if let Some(id) = self.child.id() {
            let _ = Command::new("kill").args(["-TERM", &id.to_string()]).status().await;
        }
        if tokio::time::timeout(END_TIMEOUT, self.child.wait()).await.is_err() {
            eprintln!("{} did not end within {END_TIMEOUT:?}; killing it", self.name);
            let _ = self.child.kill().await;
        }
    }
}

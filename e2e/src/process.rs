//! ingest-service as a separate process that can be killed and measured.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::Memory;

/// A running ingest-service, killed on drop.
pub struct IngestProcess {
    child: Child,
    url: String,
    http: String,
    /// Standard error, if it is captured.
    log: Arc<Mutex<String>>,
}

impl IngestProcess {
    /// Starts the program on free ports. Its database need not be reachable.
    ///
    /// # Errors
    /// Fails if the program cannot be started, or does not print its addresses.
    pub async fn start(program: &Path, database_url: &str) -> anyhow::Result<Self> {
        Self::start_with(program, database_url, &[], Stdio::inherit()).await
    }

    /// Starts the program with additional environment variables.
    ///
    /// # Errors
    /// Fails for the same reasons as `start`.
    pub async fn start_configured(
        program: &Path,
        database_url: &str,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        Self::start_with(program, database_url, variables, Stdio::inherit()).await
    }

    /// Does the same as `start`, and captures the log.
    ///
    /// # Errors
    /// Fails for the same reasons as `start`.
    pub async fn start_logging(program: &Path, database_url: &str) -> anyhow::Result<Self> {
        let mut process = Self::start_with(program, database_url, &[], Stdio::piped()).await?;
        let mut lines =
            BufReader::new(process.child.stderr.take().context("no standard error")?).lines();
        let log = Arc::clone(&process.log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.push_str(&line);
                log.push('\n');
            }
        });
        Ok(process)
    }

    async fn start_with(
        program: &Path,
        database_url: &str,
        variables: &[(&str, &str)],
        log: Stdio,
    ) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
            .env("DATABASE_URL", database_url)
            .env("TIDEGAUGE_LOG", "error") // these tests cause warnings all the time
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| {
                format!("cannot start {}; build it with: cargo build", program.display())
            })?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let mut addresses = Vec::with_capacity(2);
        for what in ["listening on ", "http on "] {
            let line = lines.next_line().await?.unwrap_or_default();
            let Some(address) = line.strip_prefix(what) else {
                bail!("ingest-service did not start: {}", child.wait().await?);
            };
            addresses.push(format!("http://{address}"));
        }
        let [url, http] =
            addresses.try_into().map_err(|_| anyhow::anyhow!("expected two addresses"))?;
        Ok(Self { url, http, child, log: Arc::default() })
    }

    /// Returns the gRPC address, as `http://HOST:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the address of its probes and metrics, as `http://HOST:PORT`.
    #[must_use]
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Kills the process with SIGKILL.
    ///
    /// # Errors
    /// Fails if the process had already ended.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("ingest-service ended before it was killed: {status}");
        }
        Ok(self.child.kill().await?)
    }

    /// Sends SIGTERM and waits until the process has ended.
    ///
    /// # Errors
    /// Fails if the process does not end in time.
    pub async fn terminate(mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        self.tell_to_end().await?;
        self.ended(within).await
    }

    /// Sends SIGTERM without waiting.
    ///
    /// # Errors
    /// Fails if the process has already ended.
    pub async fn tell_to_end(&self) -> anyhow::Result<()> {
        self.signal("TERM").await
    }

    /// Sends a signal, such as `STOP`.
    ///
    /// # Errors
    /// Fails if the process has already ended.
    pub async fn signal(&self, name: &str) -> anyhow::Result<()> {
        let process_id =
            self.child.id().with_context(|| format!("ingest-service ended before SIG{name}"))?;
        let told = Command::new("kill")
            .args([&format!("-{name}"), &process_id.to_string()])
            .status()
            .await?;
        if !told.success() {
            bail!("cannot send SIG{name} to {process_id}: {told}");
        }
        Ok(())
    }

    /// Waits until the process has ended.
    ///
    /// # Errors
    /// Fails if the process does not end in time.
    pub async fn ended(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        let ended = tokio::time::timeout(within, self.child.wait()).await;
        Ok(ended
            .with_context(|| format!("ingest-service still runs {within:?} after SIGTERM"))??)
    }

    /// Returns what the process has logged so far. Empty unless it was started with
    /// `start_logging`.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the peak resident memory so far, in MiB. `None` on systems other than Linux.
    #[must_use]
    pub fn peak_mib(&self) -> Option<f64> {
        Memory::of(self.child.id()?).peak_mib()
    }
}

/// Returns the path of the ingest-service binary that was built together with the running test.
///
/// # Panics
/// Panics if the path of the test itself is unknown.
#[must_use]
pub fn built_ingest_service() -> PathBuf {
    built_program("ingest-service")
}

/// Returns the path of any program of the workspace, built together with the running test.
///
/// # Panics
/// Panics if the path of the test itself is unknown.
#[must_use]
pub fn built_program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let profile =
        test.parent().and_then(Path::parent).expect("a test binary is in target/PROFILE/deps");
    profile.join(name)
}

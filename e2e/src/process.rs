//! ingest-service as a process of its own, to be killed and to be measured.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::Memory;

/// A running ingest-service; it ends with its owner.
pub struct IngestProcess {
    child: Child,
    url: String,
}

impl IngestProcess {
    /// Starts the program on a free port. It need not be able to reach its database.
    ///
    /// # Errors
    /// The program cannot be started, or does not say where it listens.
    pub async fn start(program: &Path, database_url: &str) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
            .env("DATABASE_URL", database_url)
            .env("TIDEGAUGE_LOG", "error") // it is told to fail all the time
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}; build it with: cargo build", program.display()))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no standard output")?).read_line(&mut line).await?;
        let Some(address) = line.trim_end().strip_prefix("listening on ") else {
            bail!("ingest-service did not start: {}", child.wait().await?);
        };
        Ok(Self { url: format!("http://{address}"), child })
    }

    /// Where it listens, as http://HOST:PORT.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// It had ended by itself.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("ingest-service ended before it was killed: {status}");
        }
        Ok(self.child.kill().await?)
    }

    /// Most memory that it has had in RAM so far, in MiB; `None` where the system does not say (all but Linux).
    #[must_use]
    pub fn peak_mib(&self) -> Option<f64> {
        Memory::of(self.child.id()?).peak_mib()
    }
}

/// The ingest-service that was built together with the running test.
///
/// # Panics
/// The test does not know where it lies itself.
#[must_use]
pub fn built_ingest_service() -> PathBuf {
    built_program("ingest-service")
}

/// Any program of the workspace, likewise.
///
/// # Panics
/// The test does not know where it lies itself.
#[must_use]
pub fn built_program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let profile = test.parent().and_then(Path::parent).expect("a test lies in target/PROFILE/deps");
    profile.join(name)
}

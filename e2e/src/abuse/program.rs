//! A service as a process, with the environment variables of a case.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::PATIENCE;

/// A running service, killed on drop.
pub(super) struct Program {
    /// Address as `HOST:PORT`.
    pub(super) address: String,
    log: PathBuf,
    _child: Child,
}

impl Program {
    /// Starts the program on a free port. Its log goes to a file.
    pub(super) async fn start(
        program: &Path,
        database_url: &str,
        variables: &[(&str, String)],
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0"])
            .env("TIDEGAUGE_HTTP_LISTEN", "127.0.0.1:0")
            .env("DATABASE_URL", database_url)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| {
                format!("cannot start {}; build it with: cargo build", program.display())
            })?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no standard output")?)
            .read_line(&mut line)
            .await?;
        let Some(address) = line.trim_end().strip_prefix("listening on ") else {
            bail!("{} did not start: {}", program.display(), std::fs::read_to_string(&log)?);
        };
        Ok(Self { address: address.to_owned(), log, _child: child })
    }

    /// Returns the URL for clients that use TLS.
    pub(super) fn tls_url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Waits until the log contains these words.
    pub(super) async fn wait_for_log(&self, words: &str) -> anyhow::Result<()> {
        let said = async {
            while !std::fs::read_to_string(&self.log)?.contains(words) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, said)
            .await
            .with_context(|| format!("the log did not contain {words:?} within {PATIENCE:?}"))?
    }
}

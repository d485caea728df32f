//! A service as a separate process, with chosen variables and a captured log.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use e2e::database_url;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A running service, killed on drop.
pub(crate) struct ServiceProcess {
    child: Child,
    log: NamedTempFile,
    /// gRPC address as `HOST:PORT`.
    pub(crate) address: String,
    /// Plain HTTP port, as `http://HOST:PORT`.
    pub(crate) http: String,
}

impl ServiceProcess {
    /// Starts a program on free ports and the database under test. The program was built together
    /// with the running test.
    pub(crate) async fn start(name: &str, variables: &[(&str, &str)]) -> Self {
        let log = NamedTempFile::new().unwrap();
        let mut child = Command::new(built(name))
            .args(["--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"])
            .env("DATABASE_URL", database_url())
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log.reopen().unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot start {name}; build it with: cargo build: {error}")
            });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = async |prefix: &str| {
            let line = lines.next_line().await.unwrap().unwrap_or_default();
            let said = || {
                panic!("{name} printed {line:?}: {}", std::fs::read_to_string(log.path()).unwrap())
            };
            line.strip_prefix(prefix).unwrap_or_else(said).to_owned()
        };
        let address = said("listening on ").await;
        let http = format!("http://{}", said("http on ").await);
        Self { child, log, address, http }
    }

    /// Sends SIGTERM, waits for the process and checks that it succeeded. Returns its log.
    pub(crate) async fn end(mut self) -> String {
        let id = self.child.id().expect("the process has ended").to_string();
        Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await;
        let status = ended.expect("the process does not end in time").unwrap();
        let log = std::fs::read_to_string(self.log.path()).unwrap();
        assert!(status.success(), "{status}\n{log}");
        log
    }
}

fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let profile =
        test.parent().and_then(Path::parent).expect("a test binary is in target/PROFILE/deps");
    profile.join(name)
}

//! Other time-series databases, where they are installed: each as it comes, with its data in a folder of the bench.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use http::Method;
use prost::bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::http::Http;
use super::process::{self, Process};
use crate::programs::command;

/// Connections that write at the same time: one request each under way.
const CONNECTIONS: usize = 4;
/// How long written points may take to show in answers.
const VISIBLE_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rival {
    InfluxDb,
    VictoriaMetrics,
}

impl Rival {
    pub(super) const ALL: [Self; 2] = [Self::InfluxDb, Self::VictoriaMetrics];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::InfluxDb => "InfluxDB",
            Self::VictoriaMetrics => "VictoriaMetrics",
        }
    }

    /// What its answer means.
    pub(super) fn acknowledges(self) -> &'static str {
        match self {
            Self::InfluxDb => "answers once its write-ahead log is written and synced",
            Self::VictoriaMetrics => "answers once points are in memory, before any disk",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::InfluxDb => "influxd",
            Self::VictoriaMetrics => "victoria-metrics",
        }
    }

    pub(super) fn is_installed(self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(self.program()).is_file())
    }

    /// Where lines are written; InfluxDB wants the database too, VictoriaMetrics ignores it.
    fn write_path(precision: &str) -> String {
        format!("/write?db=bench&precision={precision}")
    }

    /// On loopback, with its data in a folder; all else as it is by default.
    fn command(self, address: &str, data: &Path) -> anyhow::Result<Command> {
        let mut program = command(self.program());
        match self {
            Self::InfluxDb => {
                program.args(["-config", "/dev/null"]);
                program.env("INFLUXDB_HTTP_BIND_ADDRESS", address);
                program.env("INFLUXDB_BIND_ADDRESS", process::free_address()?); // for backups
                program.env("INFLUXDB_REPORTING_DISABLED", "true");
                program.env("INFLUXDB_META_DIR", data.join("meta"));
                program.env("INFLUXDB_DATA_DIR", data.join("data"));
                program.env("INFLUXDB_DATA_WAL_DIR", data.join("wal"));
            }
            Self::VictoriaMetrics => {
                program.arg(format!("-httpListenAddr={address}"));
                program.arg(format!("-storageDataPath={}", data.display()));
                program.arg("-retentionPeriod=2y"); // of itself it forgets after 31 days
            }
        }
        Ok(program)
    }
}

/// A running rival, fresh; its data goes with it.
pub(super) struct RivalServer {
    pub(super) rival: Rival,
    process: Process,
    data: TempDir,
}

impl RivalServer {
    pub(super) async fn start(rival: Rival, scratch: &Path) -> anyhow::Result<Self> {
        let data = tempfile::tempdir_in(scratch)?;
        let address = process::free_address()?;
        let mut program = rival.command(&address, data.path())?;
        let log = scratch.join(format!("{}.log", rival.program()));
        let process = Process::start(rival.name(), &mut program, address, &log).await?;
        let server = Self { rival, process, data };
        if rival == Rival::InfluxDb {
            let create = "/query?q=CREATE%20DATABASE%20bench";
            server.connect().await?.call(Method::POST, create, Bytes::new()).await?;
        }
        Ok(server)
    }

    pub(super) async fn connect(&self) -> anyhow::Result<Http> {
        Http::connect(&self.process.address).await
    }

    /// Writes bodies of line protocol over several connections, and says how long the answers took.
    pub(super) async fn post(
        &self,
        bodies: impl Iterator<Item = Bytes> + Send + 'static,
    ) -> anyhow::Result<Duration> {
        self.post_with_precision(bodies, "ms").await
    }

    /// As `post`, with timestamps in microseconds.
    pub(super) async fn post_micros(
        &self,
        bodies: impl Iterator<Item = Bytes> + Send + 'static,
    ) -> anyhow::Result<Duration> {
        self.post_with_precision(bodies, "u").await
    }

    async fn post_with_precision(
        &self,
        bodies: impl Iterator<Item = Bytes> + Send + 'static,
        precision: &str,
    ) -> anyhow::Result<Duration> {
        let bodies = Arc::new(Mutex::new(bodies));
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(self.connect().await?);
        }
        let path = Rival::write_path(precision);
        let mut senders = JoinSet::new();
        let began = Instant::now();
        for mut http in connections {
            let bodies = Arc::clone(&bodies);
            let path = path.clone();
            let next = move || bodies.lock().unwrap_or_else(PoisonError::into_inner).next();
            senders.spawn(async move {
                while let Some(body) = next() {
                    http.call(Method::POST, &path, body).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(sent) = senders.join_next().await {
            sent??;
        }
        Ok(began.elapsed())
    }

    /// Waits until so many points show in an answer.
    pub(super) async fn wait_until_visible(&self, wanted: u64) -> anyhow::Result<()> {
        let mut http = self.connect().await?;
        let deadline = Instant::now() + VISIBLE_TIMEOUT;
        loop {
            let found = self.count(&mut http).await?;
            if found == wanted {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{}: {found} of {wanted} points are stored",
                self.rival.name()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn count(&self, http: &mut Http) -> anyhow::Result<u64> {
        let (path, place) = match self.rival {
            Rival::InfluxDb => {
                let path = "/query?db=bench&q=SELECT%20count(value)%20FROM%20temperature";
                (path, "/results/0/series/0/values/0/1")
            }
            Rival::VictoriaMetrics => {
                http.call(Method::GET, "/internal/force_flush", Bytes::new()).await?;
                let path =
                    "/api/v1/query?nocache=1&query=sum(count_over_time(temperature_value%5B1y%5D))";
                (path, "/data/result/0/value/1")
            }
        };
        let answer: Value =
            serde_json::from_slice(&http.call(Method::GET, path, Bytes::new()).await?)?;
        let count = answer.pointer(place).unwrap_or(&Value::Null);
        Ok(count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0))
    }

    /// Bytes of its data on disk.
    pub(super) fn bytes(&self) -> anyhow::Result<u64> {
        folder_bytes(self.data.path())
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop().await;
        Ok(self.data.close()?)
    }
}

fn folder_bytes(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // A file may go while it is looked at.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { folder_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

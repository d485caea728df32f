//! Other time-series databases, if they are installed. Each runs with its default settings, and its
//! data is in a directory of the benchmark.

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

use super::http::HttpConnection;
use super::process::{self, RivalProcess};
use crate::programs::command;

/// Number of concurrent connections, each with one request at a time.
const CONNECTIONS: usize = 4;
/// Time limit for written points to appear in answers.
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

    /// Describes when the rival acknowledges points.
    pub(super) fn acknowledges(self) -> &'static str {
        match self {
            Self::InfluxDb => "acknowledges once its write-ahead log is written and synced",
            Self::VictoriaMetrics => {
                "acknowledges once points are in memory, before they are on disk"
            }
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

    /// Returns the path of the write API. InfluxDB requires the database; VictoriaMetrics ignores
    /// it.
    fn write_path(precision: &str) -> String {
        format!("/write?db=bench&precision={precision}")
    }

    /// Returns the command that starts the rival on `address` with its data in `data`. All other
    /// settings are defaults.
    fn command(self, address: &str, data: &Path) -> anyhow::Result<Command> {
        let mut program = command(self.program());
        match self {
            Self::InfluxDb => {
                program.args(["-config", "/dev/null"]);
                program.env("INFLUXDB_HTTP_BIND_ADDRESS", address);
                // The backup service. Its default port may be in use.
                program.env("INFLUXDB_BIND_ADDRESS", process::free_address()?);
                program.env("INFLUXDB_REPORTING_DISABLED", "true");
                program.env("INFLUXDB_META_DIR", data.join("meta"));
                program.env("INFLUXDB_DATA_DIR", data.join("data"));
                program.env("INFLUXDB_DATA_WAL_DIR", data.join("wal"));
            }
            Self::VictoriaMetrics => {
                program.arg(format!("-httpListenAddr={address}"));
                program.arg(format!("-storageDataPath={}", data.display()));
                program.arg("-retentionPeriod=2y"); // the default is one month
            }
        }
        Ok(program)
    }
}

/// A running rival without earlier data. Its data is removed when it stops.
pub(super) struct RivalServer {
    pub(super) rival: Rival,
    process: RivalProcess,
    data: TempDir,
}

impl RivalServer {
    pub(super) async fn start(rival: Rival, scratch: &Path) -> anyhow::Result<Self> {
        let data = tempfile::tempdir_in(scratch)?;
        let address = process::free_address()?;
        let mut program = rival.command(&address, data.path())?;
        let log = scratch.join(format!("{}.log", rival.program()));
        let process = RivalProcess::start(rival.name(), &mut program, address, &log).await?;
        let server = Self { rival, process, data };
        if rival == Rival::InfluxDb {
            let create = "/query?q=CREATE%20DATABASE%20bench";
            server.connect().await?.call(Method::POST, create, Bytes::new()).await?;
        }
        Ok(server)
    }

    pub(super) async fn connect(&self) -> anyhow::Result<HttpConnection> {
        HttpConnection::connect(&self.process.address).await
    }

    /// Writes line protocol with timestamps in milliseconds over several connections. Returns the
    /// time until the last response.
    pub(super) async fn post(
        &self,
        bodies: impl Iterator<Item = Bytes> + Send + 'static,
    ) -> anyhow::Result<Duration> {
        self.post_with_precision(bodies, "ms").await
    }

    /// Does the same as [`Self::post`], with timestamps in microseconds.
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

    /// Waits until a query counts `wanted` points.
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

    async fn count(&self, http: &mut HttpConnection) -> anyhow::Result<u64> {
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

    /// Returns the size of the data on disk.
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
        // A file may be removed while the directory is read.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { folder_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

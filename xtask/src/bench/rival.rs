//! Other time-series databases, where they are installed: each as it comes, fresh for every measurement, over line protocol.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http::Method;
use prost::bytes::Bytes;
use serde_json::Value;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::http::Http;
use super::process::{self, Process};
use super::render;
use super::shape::{BATCH_POINTS, Shape};
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

    fn write_path(self) -> &'static str {
        match self {
            Self::InfluxDb => "/write?db=bench&precision=ms",
            Self::VictoriaMetrics => "/write?precision=ms",
        }
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
            }
        }
        Ok(program)
    }
}

/// Writes all points of a shape into a fresh rival, and says how long its answers took. Checks that it has them all.
pub(super) async fn write(rival: Rival, shape: &Shape, scratch: &Path) -> anyhow::Result<Duration> {
    let data = tempfile::tempdir_in(scratch)?;
    let address = process::free_address()?;
    let mut program = rival.command(&address, data.path())?;
    let log = scratch.join(format!("{}.log", rival.program()));
    let server = Process::start(rival.name(), &mut program, address, &log).await?;
    let mut http = Http::connect(&server.address).await?;
    if rival == Rival::InfluxDb {
        http.call(Method::POST, "/query?q=CREATE%20DATABASE%20bench", Bytes::new()).await?;
    }
    post(rival, &server.address, &shape.warm_up()).await?;
    let elapsed = post(rival, &server.address, shape).await?;
    check_count(rival, &mut http, shape).await.with_context(|| rival.name())?;
    server.stop().await;
    Ok(elapsed)
}

async fn post(rival: Rival, address: &str, shape: &Shape) -> anyhow::Result<Duration> {
    let bodies: Vec<Bytes> = shape.parts(BATCH_POINTS).map(|part| render::lines(shape, &part)).collect();
    let (next, bodies) = (Arc::new(AtomicUsize::new(0)), Arc::new(bodies));
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Http::connect(address).await?);
    }
    let mut senders = JoinSet::new();
    let began = Instant::now();
    for mut http in connections {
        let (next, bodies) = (Arc::clone(&next), Arc::clone(&bodies));
        senders.spawn(async move {
            while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                http.call(Method::POST, rival.write_path(), body.clone()).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(sent) = senders.join_next().await {
        sent??;
    }
    Ok(began.elapsed())
}

/// Waits until all points, those of the warm-up too, show in an answer.
async fn check_count(rival: Rival, http: &mut Http, shape: &Shape) -> anyhow::Result<()> {
    let wanted = (shape.points() + shape.warm_up().points()) as u64;
    let deadline = Instant::now() + VISIBLE_TIMEOUT;
    loop {
        let found = count(rival, http).await?;
        if found == wanted {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{found} of {wanted} points are stored");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn count(rival: Rival, http: &mut Http) -> anyhow::Result<u64> {
    let (path, place) = match rival {
        Rival::InfluxDb => {
            let path = "/query?db=bench&q=SELECT%20count(value)%20FROM%20temperature";
            (path, "/results/0/series/0/values/0/1")
        }
        Rival::VictoriaMetrics => {
            http.call(Method::GET, "/internal/force_flush", Bytes::new()).await?;
            let path = "/api/v1/query?nocache=1&query=sum(count_over_time(temperature_value%5B20d%5D))";
            (path, "/data/result/0/value/1")
        }
    };
    let answer: Value = serde_json::from_slice(&http.call(Method::GET, path, Bytes::new()).await?)?;
    let count = answer.pointer(place).unwrap_or(&Value::Null);
    Ok(count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0))
}

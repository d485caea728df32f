//! A real Prometheus on the loopback interface, with a folder of its own.

use std::net::TcpListener;
use std::process::Stdio;

use e2e::get;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::until_status;

/// A running Prometheus, killed on drop.
pub(crate) struct Prometheus {
    url: String,
    _process: Child,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts Prometheus with targets, each as `http://HOST:PORT`.
    pub(crate) async fn start(targets: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let targets: Vec<&str> =
            targets.iter().map(|target| target.trim_start_matches("http://")).collect();
        let config = serde_json::json!({
            "global": {"scrape_interval": "200ms", "scrape_timeout": "200ms"},
            "scrape_configs": [{"job_name": "tidegauge", "static_configs": [{"targets": targets}]}],
        });
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config.to_string()).unwrap(); // YAML is a superset of JSON
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={free}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("Prometheus is not installed; on Debian: apt-get install prometheus");
        let url = format!("http://{free}");
        until_status(&url, "/-/ready", 200).await;
        Self { url, _process: process, _folder: folder }
    }

    /// Returns the current values of an expression.
    pub(crate) async fn ask(&self, expression: &str) -> Vec<f64> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let (_, body) = get(&self.url, &format!("/api/v1/query?query={encoded}")).await.unwrap();
        let answer: Value = serde_json::from_str(&body).unwrap();
        let results = answer["data"]["result"].as_array().expect(&body);
        results.iter().map(|result| result["value"][1].as_str().unwrap().parse().unwrap()).collect()
    }
}

//! Clients in other languages and the example in Rust, against the real services. They send points
//! and read them back.
//!
//! `cargo xtask test` installs their dependencies.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::path::PathBuf;

use e2e::{Services, Sql, built_program, unique};
use serde_json::{Value, json};
use tokio::process::Command;

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Runs a client to its end and returns its standard output.
async fn output(command: &mut Command) -> String {
    let output = command
        .output()
        .await
        .expect("the client is not installed; run the tests with: cargo xtask test");
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stdout}\n{stderr}", output.status);
    stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_client_sends_and_reads_back_points() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let device = unique("python");
    let address = |url: &str| url.trim_start_matches("http://").to_owned();
    let mut client = Command::new(root().join("target/e2e-python/bin/python"));
    client
        .arg(root().join("e2e/clients/first_point.py"))
        .args([
            "--ingest",
            &address(&services.ingest_url),
            "--query",
            &address(&services.query_url),
        ])
        .args(["--device", &device, "--count", "500"]);
    let report: Value = serde_json::from_str(&output(&mut client).await).unwrap();
    assert_eq!(report["accepted"], report["read_back"]);
    assert_eq!(report["rejected"], 1);
    assert_eq!(report["accepted"].as_u64().unwrap(), sql.count(&device).await);
    assert!(sql.count(&device).await > 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_example_stores_a_point_once_and_prints_both_acknowledgements() {
    let services = Services::start().await;
    let mut sql = Sql::connect().await;
    let before = sql.count("rust-1").await;
    let mut client = Command::new(built_program("examples/rust-client"));
    let printed = output(client.arg(&services.ingest_url)).await;
    let lines: Vec<&str> = printed.lines().collect();
    let [first, resend] = lines[..] else { panic!("expected two lines: {printed}") };
    assert!(first.ends_with("sequence 1: 1 accepted, 0 rejected, duplicate: false"), "{first}");
    assert_eq!(resend, first.replace("duplicate: false", "duplicate: true"));
    assert_eq!(sql.count("rust-1").await, before + 1);
}

/// Makes one call through server reflection. Returns the messages of the answer.
async fn buf_curl(base: &str, method: &str, request: Value) -> Vec<Value> {
    let mut buf = Command::new(root().join("e2e/clients/node_modules/.bin/buf"));
    buf.args([
        "curl",
        "--protocol",
        "grpc",
        "--http2-prior-knowledge",
        "--data",
        &request.to_string(),
    ]);
    let answer = output(buf.arg(format!("{base}/{method}"))).await;
    serde_json::Deserializer::from_str(&answer).into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn buf_curl_sends_and_reads_back_points_over_reflection() {
    let services = Services::start().await;
    let device = unique("buf");
    let timestamp = "2026-01-01T00:00:00Z";
    let request = json!({"batch": {"points": [
        {
            "deviceId": device, "metricName": "temperature",
            "value": 21.5, "timestamp": timestamp,
        },
        {"deviceId": device, "metricName": "temperature", "value": 22.5},
    ]}});
    let answer =
        buf_curl(&services.ingest_url, "tidegauge.v1.IngestService/IngestBatch", request).await;
    let result = &answer[0]["result"];
    assert_eq!((&result["acceptedCount"], &result["rejectedCount"]), (&json!("1"), &json!("1")));
    assert_eq!(result["rejections"][0]["reason"], "REJECTION_REASON_TIMESTAMP_TOO_OLD");

    let request = json!({
        "selectors": [{"deviceId": device, "metricName": "temperature"}],
        "start": "2020-01-01T00:00:00Z",
        "end": "2200-01-01T00:00:00Z",
    });
    let answer =
        buf_curl(&services.query_url, "tidegauge.v1.QueryService/QueryRange", request).await;
    assert_eq!(answer.len(), 3, "expected header, points and footer");
    assert_eq!(answer[1]["points"]["values"], json!([22.5]));
    assert_eq!(answer[2]["footer"]["rowCount"], "1");
}

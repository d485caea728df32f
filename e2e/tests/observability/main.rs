//! Observability for operators: traces, metrics, probes, logs, dashboards and alerts.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

mod collector;
mod documents;
mod otlp;
mod process;
mod prometheus;

use std::collections::BTreeSet;
use std::path::PathBuf;

use collector::Collector;
use e2e::{
    Proxy, Services, batch, database_url, get, named, now, numbered, point, selector, unique,
    until, wait_until_serving,
};
use process::ServiceProcess;
use serde_json::Value;
use shared::proto::v1::{Granularity, QueryRangeRequest};
use tokio::process::Command;

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Waits until a path of a port answers with a status. Returns the body.
async fn until_status(base: &str, path: &str, wanted: u16) -> String {
    let what = format!("{base}{path} answers {wanted}");
    until(&what, async || get(base, path).await.ok().filter(|(status, _)| *status == wanted))
        .await
        .1
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_id_leads_from_the_python_client_to_the_sql_statement() {
    let collector = Collector::start().await;
    let variables = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.url()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("TIDEGAUGE_LOG_FORMAT", "json"),
    ];
    let ingest = ServiceProcess::start("ingest-service", &variables).await;
    let query = ServiceProcess::start("query-service", &variables).await;
    for service in [&ingest, &query] {
        until_status(&service.http, "/readyz", 200).await;
    }
    let trace_id = format!("{:032x}", rand::random::<u128>());
    let client = Command::new(root().join("target/e2e-python/bin/python"))
        .arg(root().join("e2e/clients/first_point.py"))
        .args([
            "--ingest",
            &ingest.address,
            "--query",
            &query.address,
            "--device",
            &unique("traced"),
            "--count",
            "50",
        ])
        .args(["--traceparent", &format!("00-{trace_id}-{:016x}-01", 7)])
        .output();
    let client =
        client.await.expect("the client is not installed; run the tests with: cargo xtask test");
    assert!(client.status.success(), "{}", String::from_utf8_lossy(&client.stderr));
    let logs = [ingest.end().await, query.end().await]; // the end of a service flushes its spans

    let spans = collector.spans();
    let of_trace = |service: &str| -> BTreeSet<String> {
        let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let ours = spans
            .iter()
            .filter(|(name, span)| name.contains(service) && hex(&span.trace_id) == trace_id);
        ours.map(|(_, span)| span.name.clone()).collect()
    };
    let ingested = of_trace("ingest-service");
    let asked = of_trace("query-service");
    for name in [
        "tidegauge.v1.IngestService/Ingest",
        "tidegauge.v1.IngestService/IngestBatch",
        "batch",
        "validate",
        "resolve",
        "room",
        "queue",
        "flush",
        "acknowledge",
        "BEGIN",
        "SELECT producers",
        "INSERT points",
        "UPDATE producers",
        "COMMIT",
        "UPDATE producers INSERT points",
    ] {
        assert!(ingested.contains(name), "no span {name} in {ingested:?}");
    }
    for name in [
        "tidegauge.v1.QueryService/QueryRange",
        "tidegauge.v1.QueryService/QueryAggregated",
        "series_one",
        "copy_points",
        "buckets",
    ] {
        assert!(asked.contains(name), "no span {name} in {asked:?}");
    }
    every_span_has_its_parent(&spans);
    documents::holds_all_spans(&spans);
    log_lines_name_their_trace(&logs.concat(), &trace_id);
}

/// Checks that the parent of every span was exported too. The parent of a trace's first span is the
/// client's.
fn every_span_has_its_parent(spans: &[(String, opentelemetry_proto::tonic::trace::v1::Span)]) {
    let ids: BTreeSet<&[u8]> = spans.iter().map(|(_, span)| &*span.span_id).collect();
    for (service, span) in spans.iter().filter(|(_, span)| !span.parent_span_id.is_empty()) {
        let parent = &*span.parent_span_id;
        assert!(
            ids.contains(parent) || parent == [0, 0, 0, 0, 0, 0, 0, 7],
            "{service}: {} lost its parent",
            span.name
        );
    }
}

/// Checks the log of the one point that the client sends to be rejected. It is logged once, inside
/// its span.
fn log_lines_name_their_trace(log: &str, trace_id: &str) {
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let refused: Vec<&Value> =
        lines.iter().filter(|line| line["reason"] == "REJECTION_REASON_VALUE_NOT_FINITE").collect();
    assert_eq!(refused.len(), 1, "{log}");
    assert_eq!(refused[0]["trace_id"], trace_id);
    documents::holds_all_log_fields(&lines);
}

/// Does something of each kind, so that every metric has a value.
async fn work(services: &Services) {
    let device = unique("measured");
    let start = now() - 600_000_000;
    let points = |count: i64| {
        (0..count).map(|at| point(&device, start + at * 1_000, 1.0)).collect::<Vec<_>>()
    };
    services.send(numbered(&device, 1, 1, points(100))).await.unwrap();
    assert!(services.send(numbered(&device, 1, 1, points(100))).await.unwrap().is_duplicate);
    services.send(numbered(&device, 1, 7, points(1))).await.unwrap_err();
    let refused = services.send(batch(vec![
        named(&device, "temperature", start, f64::NAN),
        point(&device, start, 2.0),
    ]));
    assert_eq!(refused.await.unwrap().rejected_count, 1);
    services.range(&device, start, now()).await.unwrap();
    services.aggregated(&device, Granularity::Minute, (start, now())).await.unwrap();
    services.range(&unique("absent"), start, now()).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_scrapes_both_services() {
    let services = Services::start().await;
    work(&services).await;
    let prometheus =
        prometheus::Prometheus::start(&[&services.ingest_http, &services.query_http]).await;
    until("both services are up", async || {
        (prometheus.ask("sum(up)").await == [2.0]).then_some(())
    })
    .await;
    for (question, answer) in [
        ("tidegauge_points_accepted_total", 101.0),
        ("tidegauge_points_duplicate_total", 100.0),
        (r#"tidegauge_points_rejected_total{reason="value_not_finite"}"#, 1.0),
        (r#"tidegauge_batches_total{outcome="gap"}"#, 1.0),
        ("tidegauge_ack_latency_seconds_count", 3.0),
        ("tidegauge_queue_points", 0.0),
        (r#"sum(tidegauge_query_rows_total{granularity="raw"})"#, 101.0),
        (
            r#"sum(rpc_server_call_duration_seconds_count{rpc_response_status_code="NOT_FOUND"})"#,
            1.0,
        ),
        (
            "sum(rpc_server_call_duration_seconds_count\
             {granularity=\"minute\",rpc_response_status_code=\"OK\"})",
            1.0,
        ),
        ("sum(tidegauge_ready)", 2.0),
        ("sum(tidegauge_connections_open)", 2.0),
        ("sum(tidegauge_connections_refused_total)", 0.0),
    ] {
        until(question, async || (prometheus.ask(question).await == [answer]).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_what_documents_dashboards_and_alerts_name() {
    let services = Services::start().await;
    work(&services).await;
    // This metric exists once a rollup was refreshed.
    let sampled = "tidegauge_rollup_lag_seconds{granularity=\"minute\"";
    let mut sql = e2e::Sql::connect().await;
    // Hardly any other test writes to this day, so there is little to refresh.
    let day = now() - 23 * 86_400_000_000;
    services.send(batch(vec![point(&unique("sampled"), day, 1.0)])).await.unwrap();
    sql.refresh(day - 2 * 86_400_000_000, day + 2 * 86_400_000_000).await;
    drop(services);
    // A service samples the database when it starts, so new ones are started.
    let services = Services::start().await;
    work(&services).await;
    until(sampled, async || {
        let metrics = until_status(&services.ingest_http, "/metrics", 200).await;
        metrics.contains(sampled).then_some(())
    })
    .await;
    let mut exported = BTreeSet::new();
    for base in [&services.ingest_http, &services.query_http] {
        let metrics = until_status(base, "/metrics", 200).await;
        assert!(!metrics.contains("measured-"), "a device id is exported as a label");
        exported.extend(documents::families(&metrics));
    }
    documents::holds_exactly(&exported);
    documents::dashboards_and_alerts_name_only(&exported);
}

#[test]
fn each_alert_is_tested_firing_and_not_firing_and_told_in_the_operations_guide() {
    documents::each_alert_is_tested();
}

#[tokio::test(flavor = "multi_thread")]
async fn readyz_tells_an_outage_and_livez_stays_up() {
    let proxy = Proxy::start(&database_url(), false).await;
    let services = Services::start_on(&proxy.url(&database_url())).await;
    let both = [services.ingest_http.as_str(), services.query_http.as_str()];
    for base in both {
        assert!(
            until_status(base, "/readyz", 503)
                .await
                .contains("waiting for the database at 127.0.0.1:")
        );
        assert!(
            get(base, "/metrics")
                .await
                .unwrap()
                .1
                .contains("tidegauge_not_ready{reason=\"database_away\"} 1")
        );
    }
    proxy.set_open(true);
    for base in both {
        assert_eq!(until_status(base, "/readyz", 200).await, "ready\n");
        let metrics = get(base, "/metrics").await.unwrap().1;
        assert!(
            metrics.contains("tidegauge_ready 1")
                && metrics.contains("tidegauge_not_ready{reason=\"database_away\"} 0")
        );
    }
    proxy.set_open(false);
    for base in both {
        until_status(base, "/readyz", 503).await;
        assert_eq!(get(base, "/livez").await.unwrap(), (200, "alive\n".to_owned()));
    }
}

#[tokio::test]
async fn a_path_that_is_not_served_is_told_what_is() {
    let services = Services::start().await;
    wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
    let (status, body) = get(&services.query_http, "/").await.unwrap();
    assert_eq!((status, body.contains("/livez, /readyz and /metrics")), (404, true));
    // A method name invented by a client must not become a label.
    let mut client = tonic::client::Grpc::new(services.query_channel.clone());
    client.ready().await.unwrap();
    let path = "/made.Up/Method".parse().unwrap();
    let request = tonic::Request::new(QueryRangeRequest {
        selectors: vec![selector("x")],
        ..Default::default()
    });
    let answer: Result<tonic::Response<QueryRangeRequest>, _> =
        client.unary(request, path, tonic_prost::ProstCodec::default()).await;
    assert_eq!(answer.unwrap_err().code(), tonic::Code::Unimplemented);
    let metrics = get(&services.query_http, "/metrics").await.unwrap().1;
    assert!(metrics.contains("rpc_method=\"_OTHER\"") && !metrics.contains("made.Up"));
}

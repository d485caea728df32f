//! Comparison of docs/OBSERVABILITY.md, the dashboards and the alerts with what the services
//! export.

use std::collections::BTreeSet;
use std::fs;

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;

use crate::root;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the names in backticks in the first column of the tables under a heading.
fn documented(heading: &str) -> BTreeSet<String> {
    let text = read("docs/OBSERVABILITY.md");
    let section = text.split("\n## ").find(|section| section.starts_with(heading));
    let rows = section
        .unwrap_or_else(|| panic!("no heading {heading}"))
        .lines()
        .filter(|line| line.starts_with("| `"));
    let first = rows.filter_map(|row| row.split('|').nth(1));
    first.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Returns the names of the metrics in Prometheus' text format.
pub(crate) fn families(metrics: &str) -> BTreeSet<String> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// Checks that the documented metrics are exactly the exported ones.
pub(crate) fn holds_exactly(exported: &BTreeSet<String>) {
    let documented = documented("Metrics");
    let missing: Vec<_> = exported.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(exported).collect();
    assert!(missing.is_empty(), "not in docs/OBSERVABILITY.md: {missing:?}");
    assert!(invented.is_empty(), "in docs/OBSERVABILITY.md, but not exported: {invented:?}");
}

pub(crate) fn dashboards_and_alerts_name_only(exported: &BTreeSet<String>) {
    for path in [
        "observability/alerts.yaml",
        "observability/grafana/ingest-service.json",
        "observability/grafana/query-service.json",
    ] {
        let text = read(path);
        let words = text.split(|letter: char| {
            !letter.is_ascii_alphanumeric() && letter != '_' && letter != ':'
        });
        let named = words.filter(|word| {
            ["tidegauge_", "rpc_server_", "db_client_"].iter().any(|begin| word.starts_with(begin))
        });
        let named: BTreeSet<&str> = named.filter(|word| !is_label(word)).map(base).collect();
        let unknown: Vec<_> = named.iter().filter(|name| !exported.contains(**name)).collect();
        assert!(unknown.is_empty(), "{path} names metrics that are not exported: {unknown:?}");
        assert!(named.len() >= 8, "{path} names too few metrics");
    }
}

fn is_label(word: &str) -> bool {
    word == "db_client_connection_state"
}

/// Returns the name without the suffixes of a histogram.
fn base(name: &str) -> &str {
    ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .filter(|base| *base != "db_client_connection")
        .unwrap_or(name)
}

pub(crate) fn holds_all_spans(spans: &[(String, Span)]) {
    let documented = documented("Spans");
    for (service, span) in spans {
        let is_call = span.name.starts_with("tidegauge.v1.");
        let is_statement =
            span.attributes.iter().any(|attribute| attribute.key == "db.query.summary");
        let name = if is_call {
            "call"
        } else if is_statement {
            "sql"
        } else {
            &span.name
        };
        assert!(
            documented.contains(name),
            "{service}: span {} is not in docs/OBSERVABILITY.md",
            span.name
        );
    }
}

pub(crate) fn holds_all_log_fields(lines: &[Value]) {
    let documented = documented("Log");
    for line in lines {
        for field in line.as_object().unwrap().keys() {
            assert!(
                documented.contains(field),
                "field {field} is not in docs/OBSERVABILITY.md: {line}"
            );
        }
    }
}

pub(crate) fn each_alert_is_tested() {
    let rules = read("observability/alerts.yaml");
    let tests = read("observability/alerts_test.yaml");
    let operations = read("docs/OBSERVABILITY.md");
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() >= 8, "{alerts:?}");
    for alert in alerts {
        let cases: Vec<&str> = tests
            .split("alertname: ")
            .skip(1)
            .filter(|case| case.lines().next() == Some(alert))
            .collect();
        let quiet = cases
            .iter()
            .filter(|case| case.lines().nth(1).is_some_and(|line| line.trim() == "exp_alerts: []"))
            .count();
        assert!(
            quiet >= 1 && cases.len() > quiet,
            "{alert} is tested {} times, {quiet} of them not firing",
            cases.len()
        );
        assert!(
            operations.contains(&format!("`{alert}`")),
            "{alert} is not in docs/OBSERVABILITY.md"
        );
    }
}

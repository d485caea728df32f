//! The supported environment variables of OpenTelemetry.
//!
//! The OpenTelemetry SDK reads most of them itself, so they have no flags. This list is for
//! `--help` and for lists of all settings.

use std::fmt::Write as _;

use super::Variable;

/// Name, default and description of each variable.
const VARIABLES: [(&str, &str, &str); 14] = [
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        "Endpoint of a collector that receives spans and metrics over gRPC, such as \
         http://collector:4317; not set: nothing is sent",
    ),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "", "Endpoint for spans; replaces the common endpoint"),
    (
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "",
        "Endpoint for metrics; replaces the common endpoint",
    ),
    (
        "OTEL_EXPORTER_OTLP_HEADERS",
        "",
        "Headers sent to the collector with each request: name=value,name=value",
    ),
    (
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "10000",
        "Timeout of each request to the collector, in milliseconds",
    ),
    ("OTEL_TRACES_EXPORTER", "otlp", "Exporter of spans; none turns it off"),
    ("OTEL_METRICS_EXPORTER", "otlp", "Exporter of metrics; none turns it off"),
    (
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "Sampler of traces; parentbased_traceidratio samples a ratio of the traces that the \
         caller has not decided on",
    ),
    ("OTEL_TRACES_SAMPLER_ARG", "1.0", "Ratio of traces to sample, from 0 to 1"),
    ("OTEL_BSP_SCHEDULE_DELAY", "5000", "Interval for sending spans, in milliseconds"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "60000", "Interval for sending metrics, in milliseconds"),
    ("OTEL_RESOURCE_ATTRIBUTES", "", "Additional resource attributes: name=value,name=value"),
    ("OTEL_SERVICE_NAME", "", "Name of the service; not set: the name of the program"),
    ("OTEL_SDK_DISABLED", "false", "Whether to turn off the export of spans and metrics"),
];

/// Returns all supported variables of OpenTelemetry.
#[must_use]
pub fn telemetry_variables() -> Vec<Variable> {
    let variable = |(name, default, help): (&str, &str, &str)| Variable {
        name: name.to_owned(),
        default: default.to_owned(),
        help: help.to_owned(),
        values: Vec::new(),
        heading: "Telemetry".to_owned(),
        secret: name == "OTEL_EXPORTER_OTLP_HEADERS",
    };
    VARIABLES.into_iter().map(variable).collect()
}

/// Returns the section about telemetry for the end of `--help`.
#[must_use]
pub fn telemetry_help() -> String {
    let mut text = "Telemetry (OpenTelemetry environment variables, without flags):\n".to_owned();
    for (name, default, help) in VARIABLES {
        let default =
            if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
        let _ = writeln!(text, "  {name}\n          {help}{default}");
    }
    text
}

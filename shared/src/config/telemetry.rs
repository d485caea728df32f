//! The variables of OpenTelemetry that count. Its SDK reads most of them itself, so they are no flags; they stand here for
//! `--help` and for lists of all settings.

use std::fmt::Write as _;

use super::Variable;

/// Name, what holds where it is not set, what it is for.
const VARIABLES: [(&str, &str, &str); 14] = [
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        "Collector that spans and metrics are sent to by gRPC, such as http://collector:4317; without one, none are sent",
    ),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "", "Another one, for spans"),
    ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "", "Another one, for metrics"),
    (
        "OTEL_EXPORTER_OTLP_HEADERS",
        "",
        "What the collector wants to be told with each message: name=value,name=value",
    ),
    (
        "OTEL_EXPORTER_OTLP_TIMEOUT",
        "10000",
        "How long the collector may take for a message, in milliseconds",
    ),
    ("OTEL_TRACES_EXPORTER", "otlp", "none: no spans are sent"),
    ("OTEL_METRICS_EXPORTER", "otlp", "none: no metrics are sent"),
    (
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "Which traces are sent; parentbased_traceidratio: a part of those that the caller did not decide about",
    ),
    ("OTEL_TRACES_SAMPLER_ARG", "1.0", "How large a part, from 0 to 1"),
    ("OTEL_BSP_SCHEDULE_DELAY", "5000", "How often spans are sent, in milliseconds"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "60000", "How often metrics are sent, in milliseconds"),
    ("OTEL_RESOURCE_ATTRIBUTES", "", "More about where the service runs: name=value,name=value"),
    ("OTEL_SERVICE_NAME", "", "Another name for the service; without one, its program's"),
    ("OTEL_SDK_DISABLED", "false", "true: nothing is sent"),
];

/// All of them.
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

/// For the end of `--help`.
#[must_use]
pub fn telemetry_help() -> String {
    let mut text = "Telemetry, by the variables of OpenTelemetry alone:\n".to_owned();
    for (name, default, help) in VARIABLES {
        let default =
            if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
        let _ = writeln!(text, "  {name}\n          {help}{default}");
    }
    text
}

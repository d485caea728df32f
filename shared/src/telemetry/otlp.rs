//! Whether a collector is named, by the variables that OpenTelemetry defines, and what is exported to it over gRPC.
//!
//! Variables: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`,
//! `OTEL_EXPORTER_OTLP_PROTOCOL`, `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER`, `OTEL_SERVICE_NAME`; the SDK
//! itself reads those of headers, time limits, intervals, resource attributes and the sampler (`OTEL_TRACES_SAMPLER`).

use std::env;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, SdkTracerProvider};
use tonic::transport::ClientTlsConfig;

use super::TelemetryError;

/// What spans are sent by, where a collector takes them.
pub(super) fn tracer_provider(
    service: &'static str,
) -> Result<Option<SdkTracerProvider>, TelemetryError> {
    if !is_on("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")? {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_tonic().with_tls_config(tls()).build()?;
    // The sampler is the SDK's default: parent-based, unless OTEL_TRACES_SAMPLER names another.
    Ok(Some(
        SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource(service))
            .build(),
    ))
}

/// What metrics are sent by, where a collector takes them.
pub(super) fn metric_reader() -> Result<Option<PeriodicReader<MetricExporter>>, TelemetryError> {
    if !is_on("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_METRICS_EXPORTER")? {
        return Ok(None);
    }
    let exporter = MetricExporter::builder().with_tonic().with_tls_config(tls()).build()?;
    Ok(Some(PeriodicReader::builder(exporter).build()))
}

/// Who sends: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` go before what the service knows itself.
pub(super) fn resource(service: &'static str) -> Resource {
    let name = value("OTEL_SERVICE_NAME").unwrap_or_else(|| service.to_owned());
    let instance = RandomIdGenerator::default().new_trace_id().to_string();
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance),
        ])
        .with_detector(Box::new(opentelemetry_sdk::resource::EnvResourceDetector::new()))
        .with_detector(Box::new(opentelemetry_sdk::resource::TelemetryResourceDetector))
        .with_service_name(name)
        .build()
}

/// For endpoints that begin with https://; the others do without.
fn tls() -> ClientTlsConfig {
    ClientTlsConfig::new().with_native_roots()
}

/// Whether an endpoint is named for a signal and the signal is not switched off.
fn is_on(endpoint: &'static str, exporter: &'static str) -> Result<bool, TelemetryError> {
    let named = value(endpoint).or_else(|| value("OTEL_EXPORTER_OTLP_ENDPOINT")).is_some();
    let disabled =
        value("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if !named || disabled {
        return Ok(false);
    }
    accept("OTEL_EXPORTER_OTLP_PROTOCOL", &["grpc"], "only grpc is served")?;
    accept(exporter, &["otlp", "none"], "otlp and none are accepted")?;
    Ok(value(exporter).as_deref() != Some("none"))
}

fn accept(
    name: &'static str,
    values: &[&str],
    accepted: &'static str,
) -> Result<(), TelemetryError> {
    match value(name) {
        Some(found) if !values.contains(&found.as_str()) => {
            Err(TelemetryError::Variable { name, found, accepted })
        }
        _ => Ok(()),
    }
}

/// The value of a variable; an empty one counts as none.
fn value(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

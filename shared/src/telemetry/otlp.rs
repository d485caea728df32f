//! Export of spans and metrics over OTLP/gRPC, configured by OpenTelemetry's environment variables.
//!
//! This module reads `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`,
//! `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`, `OTEL_EXPORTER_OTLP_PROTOCOL`, `OTEL_SDK_DISABLED`,
//! `OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER` and `OTEL_SERVICE_NAME`. The SDK itself reads
//! the variables of headers, timeouts, intervals, resource attributes and the sampler.

use std::env;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, SdkTracerProvider};
use tonic::transport::ClientTlsConfig;

use super::TelemetryError;

/// Returns the provider that exports spans, or `None` if spans are not exported.
pub(super) fn tracer_provider(
    service: &'static str,
) -> Result<Option<SdkTracerProvider>, TelemetryError> {
    if !is_on("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")? {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_tonic().with_tls_config(tls()).build()?;
    // The SDK configures the sampler: parent-based, unless OTEL_TRACES_SAMPLER is set.
    Ok(Some(
        SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource(service))
            .build(),
    ))
}

/// Returns the reader that exports metrics, or `None` if metrics are not exported.
pub(super) fn metric_reader() -> Result<Option<PeriodicReader<MetricExporter>>, TelemetryError> {
    if !is_on("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_METRICS_EXPORTER")? {
        return Ok(None);
    }
    let exporter = MetricExporter::builder().with_tonic().with_tls_config(tls()).build()?;
    Ok(Some(PeriodicReader::builder(exporter).build()))
}

/// Returns the attributes of the service. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`
/// override the built-in ones.
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

/// Returns the TLS configuration. It is only used for endpoints that start with https://.
fn tls() -> ClientTlsConfig {
    ClientTlsConfig::new().with_native_roots()
}

/// Returns whether an endpoint is configured for a signal and the signal is not turned off.
fn is_on(endpoint: &'static str, exporter: &'static str) -> Result<bool, TelemetryError> {
    let named = value(endpoint).or_else(|| value("OTEL_EXPORTER_OTLP_ENDPOINT")).is_some();
    let disabled =
        value("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if !named || disabled {
        return Ok(false);
    }
    check("OTEL_EXPORTER_OTLP_PROTOCOL", &["grpc"], "only grpc is supported")?;
    check(exporter, &["otlp", "none"], "expected otlp or none")?;
    Ok(value(exporter).as_deref() != Some("none"))
}

/// Checks that a variable is unset or has one of the accepted values.
fn check(
    name: &'static str,
    values: &[&str],
    expected: &'static str,
) -> Result<(), TelemetryError> {
    match value(name) {
        Some(found) if !values.contains(&found.as_str()) => {
            Err(TelemetryError::Variable { name, found, expected })
        }
        _ => Ok(()),
    }
}

/// Returns the value of a variable. An empty variable counts as not set.
fn value(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

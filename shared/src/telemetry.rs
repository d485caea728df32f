//! Logs, spans and metrics. Logs go to standard error, separate from the output of commands. Spans
//! and metrics go to an OpenTelemetry collector, if one is configured.

mod calls;
mod log_line;
mod meters;
mod otlp;
mod repeats;
mod statements;

use std::io;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::fmt::format::Format;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::{LogConfig, LogFormat};
use crate::shutdown::TELEMETRY_TIMEOUT;
use log_line::WithTrace;

pub use calls::CallNotes;
pub(crate) use calls::Calls;
pub use meters::Meters;
pub use repeats::Repeats;
pub use statements::{Statements, error_type, span};

/// Crates whose spans are exported.
const TRACED_CRATES: [&str; 3] = ["shared", "ingest_service", "query_service"];

/// Reason why logging or exporting cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log levels are invalid.
    #[error("TIDEGAUGE_LOG: {0}")]
    Levels(#[from] ParseError),
    /// An OpenTelemetry variable is invalid.
    #[error("{name} is {found:?}: {expected}")]
    Variable {
        /// Name of the variable.
        name: &'static str,
        /// Value of the variable.
        found: String,
        /// Accepted values.
        expected: &'static str,
    },
    /// The exporter cannot be built.
    #[error("cannot export to the collector at OTEL_EXPORTER_OTLP_ENDPOINT: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// A metric cannot be registered, which is a defect.
    #[error("cannot register metrics: {0}")]
    Registry(String),
}

/// The running export of spans, to be shut down before the process exits.
#[derive(Debug, Default)]
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
}

/// Installs the global logger and, if a collector is configured, the export of spans. Must be
/// called inside the runtime.
///
/// # Errors
/// The log levels or an OpenTelemetry variable are invalid.
pub fn init(config: &LogConfig, service: &'static str) -> Result<Telemetry, TelemetryError> {
    let tracer = otlp::tracer_provider(service)?;
    let export = tracer.as_ref().map(|provider| {
        let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("tidegauge"));
        let traced = TRACED_CRATES.map(|target| (target, LevelFilter::DEBUG));
        spans
            .with_location(false)
            .with_threads(false)
            .with_filter(Targets::new().with_targets(traced))
    });
    let (plain, json) = match config.format {
        LogFormat::Plain => (Some(WithTrace::plain(Format::default())), None),
        LogFormat::Json => {
            (None, Some(WithTrace::json(Format::default().json().flatten_event(true))))
        }
    };
    let levels = || EnvFilter::try_new(&config.levels);
    let plain = plain
        .map(|line| tracing_subscriber::fmt::layer().event_format(line).with_writer(io::stderr));
    let json = json.map(|line| {
        tracing_subscriber::fmt::layer().json().event_format(line).with_writer(io::stderr)
    });
    tracing_subscriber::registry()
        .with(plain.map(|layer| Ok::<_, ParseError>(layer.with_filter(levels()?))).transpose()?)
        .with(json.map(|layer| Ok::<_, ParseError>(layer.with_filter(levels()?))).transpose()?)
        .with(export)
        .init();
    Ok(Telemetry { tracer })
}

impl Telemetry {
    /// Sends the remaining spans, in at most 0.7 s. Must be called last.
    pub async fn shutdown(self) {
        if let Some(tracer) = self.tracer {
            shut_down_exporter("spans", move || {
                tracer.shutdown().map_err(|error| error.to_string())
            })
            .await;
        }
    }
}

/// Shuts an exporter down with a time limit. Runs on a blocking thread, because the shutdown blocks
/// and waits for tasks of the runtime.
async fn shut_down_exporter(
    what: &'static str,
    shutdown: impl FnOnce() -> Result<(), String> + Send + 'static,
) {
    match tokio::time::timeout(TELEMETRY_TIMEOUT, tokio::task::spawn_blocking(shutdown)).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(error, "cannot send the last {what} to the collector"),
        Ok(Err(_)) | Err(_) => {
            let timeout = TELEMETRY_TIMEOUT;
            tracing::warn!(?timeout, "cannot send the last {what} to the collector in time");
        }
    }
}

//! The metrics of a service, scraped by Prometheus and optionally sent over OTLP.

use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

use super::{TelemetryError, otlp, shut_down_exporter};

/// The metrics of one service. Cheap to clone. Not global, so that two services in one process keep
/// their metrics separate.
#[derive(Clone, Debug)]
pub struct Meters {
    provider: SdkMeterProvider,
    registry: Registry,
}

impl Meters {
    /// Sets up the metrics. Must be called inside the runtime.
    ///
    /// # Errors
    /// An OpenTelemetry variable is invalid.
    pub fn new(service: &'static str) -> Result<Self, TelemetryError> {
        let registry = Registry::new();
        let scraped = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()
            .map_err(|error| TelemetryError::Registry(error.to_string()))?;
        let provider =
            SdkMeterProvider::builder().with_resource(otlp::resource(service)).with_reader(scraped);
        let provider = match otlp::metric_reader()? {
            Some(sent) => provider.with_reader(sent),
            None => provider,
        };
        Ok(Self { provider: provider.build(), registry })
    }

    /// Returns a meter for creating instruments.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.provider.meter("tidegauge")
    }

    /// Renders all metrics in the Prometheus text format.
    ///
    /// # Errors
    /// A metric cannot be rendered, which is a defect.
    pub fn render(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Sends the remaining metrics, in at most 0.7 s.
    pub async fn shutdown(self) {
        let provider = self.provider;
        shut_down_exporter("metrics", move || {
            provider.shutdown().map_err(|error| error.to_string())
        })
        .await;
    }
}

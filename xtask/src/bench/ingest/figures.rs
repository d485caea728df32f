//! Results of the ingest measurements.

use std::collections::BTreeMap;

use super::latency::AckLatencies;
use crate::bench::numbers::median;

/// All results of the ingest measurements.
#[derive(Default)]
pub(super) struct IngestFigures {
    /// Points per second of each round, by the key of the measurement.
    pub(super) rates: BTreeMap<&'static str, Vec<f64>>,
    /// Bytes per point after compression, of each round.
    pub(super) bytes_per_point: Vec<f64>,
    /// Bytes on disk per batch that the ledger remembers.
    pub(super) ledger_bytes_per_batch: Option<f64>,
    /// Seconds from the start of the refresh policies until all rollups contain the late points.
    pub(super) late_in_rollups: f64,
    pub(super) light: AckLatencies,
    pub(super) half_load: AckLatencies,
    pub(super) peak_mib: Option<f64>,
    pub(super) many_series: Option<ManySeries>,
}

impl IngestFigures {
    /// Returns the median of all rounds, or `None` if the key was not measured.
    pub(super) fn rate(&self, key: &str) -> Option<f64> {
        self.rates.get(key).map(|rates| median(rates))
    }
}

/// Results of the measurements with a great many series and one point per series.
#[derive(Clone, Copy, Debug)]
pub(super) struct ManySeries {
    pub(super) series: usize,
    /// Points per second if every series is new.
    pub(super) new_rate: f64,
    /// Points per second if every series exists in the database but is not in the service's cache.
    pub(super) known_rate: f64,
    /// Memory of the service per cached series. `None` if the operating system does not report
    /// memory.
    pub(super) bytes_per_series: Option<f64>,
}

//! Report of the ingest measurements, as text or as JSON.

use std::fmt;

use serde_json::{Map, Value, json};

use super::calls::IngestCall;
use super::figures::{IngestFigures, ManySeries};
use super::plan::{MEASUREMENTS, Measurement, Plan, StorePath, Workload};
use super::shape::BATCH_POINTS;
use crate::bench::machine::Machine;
use crate::bench::numbers::{median, rounded, thousands};
use crate::bench::rival::Rival;
use shared::db::Edition;

/// All results, with the database and the machine on which they were measured.
pub(super) struct IngestReport {
    pub(super) plan: Plan,
    pub(super) edition: Edition,
    pub(super) embedded: bool,
    pub(super) machine: Machine,
    pub(super) figures: IngestFigures,
}

impl IngestReport {
    /// Returns the rate of the fastest COPY of this workload.
    fn limit(&self, workload: Workload) -> Option<f64> {
        let copies = MEASUREMENTS.iter().filter(|measurement| measurement.workload == workload);
        let rates = copies.filter(|measurement| matches!(measurement.path, StorePath::Copy { .. }));
        rates.filter_map(|measurement| self.figures.rate(measurement.key)).max_by(f64::total_cmp)
    }

    fn ratio(&self, key: &str, other: Option<f64>) -> Option<f64> {
        Some(self.figures.rate(key)? / other?)
    }

    /// Returns the rate of the faster form relative to the limit. A client is free to choose its
    /// form.
    fn single_vs_copy(&self) -> Option<f64> {
        let better =
            ["single_series", "single_row"].iter().filter_map(|key| self.figures.rate(key));
        Some(better.max_by(f64::total_cmp)? / self.limit(Workload::Single)?)
    }

    fn ratios(&self) -> Value {
        let rate = |key| self.figures.rate(key);
        json!({
            "series_vs_copy": rounded(self.ratio("series", self.limit(Workload::Few))),
            "row_vs_series": rounded(self.ratio("row", rate("series"))),
            "single_vs_copy": rounded(self.single_vs_copy()),
            "late_vs_copy": rounded(self.ratio("late_series", self.limit(Workload::Late))),
            "many_series_vs_few": rounded(self.ratio("many_series", rate("series"))),
            "vs_seed": rounded(self.ratio("series", rate("seed"))),
            "vs_influxdb": rounded(self.ratio("series", rate("influxdb"))),
            "vs_victoriametrics": rounded(self.ratio("series", rate("victoriametrics"))),
        })
    }

    fn figures(&self) -> Value {
        let mut figures = Map::new();
        for measurement in &MEASUREMENTS {
            let rate = self.figures.rate(measurement.key).map(f64::round);
            figures.insert(format!("{}_pps", measurement.key), json!(rate));
        }
        let light = &self.figures.light;
        let half_load = &self.figures.half_load;
        let many = self.figures.many_series;
        let more = [
            ("copy_limit_pps", self.limit(Workload::Few).map(f64::round)),
            ("single_copy_limit_pps", self.limit(Workload::Single).map(f64::round)),
            ("ack_p50_ms", rounded(Some(light.percentile(0.5)))),
            ("ack_p99_ms", rounded(Some(light.percentile(0.99)))),
            ("ack_half_load_p50_ms", rounded(Some(half_load.percentile(0.5)))),
            ("ack_half_load_p99_ms", rounded(Some(half_load.percentile(0.99)))),
            ("service_peak_mib", rounded(self.figures.peak_mib)),
            ("late_in_rollups_s", rounded(Some(self.figures.late_in_rollups))),
            ("bytes_per_point", rounded(Some(median(&self.figures.bytes_per_point)))),
            (
                "ledger_bytes_per_million_batches",
                self.figures.ledger_bytes_per_batch.map(|bytes| (bytes * 1e6).round()),
            ),
            ("new_series_pps", many.map(|many| many.new_rate.round())),
            ("known_series_pps", many.map(|many| many.known_rate.round())),
            ("bytes_per_cached_series", rounded(many.and_then(|many| many.bytes_per_series))),
        ];
        figures.extend(more.map(|(key, value)| (key.to_owned(), json!(value))));
        figures.into()
    }

    /// Returns one JSON object with all results.
    pub(super) fn json(&self) -> Value {
        json!({
            "database": {
                "version": self.edition.timescaledb,
                "edition": "Community",
                "postgres": self.edition.postgres,
                "embedded": self.embedded,
            },
            "machine": { "cores": self.machine.cores, "cpu": self.machine.cpu },
            "rounds": self.plan.rounds,
            "ratios": self.ratios(),
            "figures": self.figures(),
        })
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, measurement: &Measurement) -> fmt::Result {
        let Some(rate) = self.figures.rate(measurement.key) else { return Ok(()) };
        let workload = if measurement.workload == Workload::Seed {
            Workload::Few
        } else {
            measurement.workload
        };
        let ratio = self.limit(workload).map_or(0.0, |limit| rate / limit);
        writeln!(f, "  {:<68} {:>12} {ratio:>8.3}", label(measurement), thousands(rate))
    }

    fn title(&self, workload: Workload) -> String {
        let shape = self.plan.shape(workload);
        let devices = thousands(shape.devices as f64);
        let points = thousands(shape.points() as f64);
        match workload {
            Workload::Few => {
                format!("{devices} devices, 100 points per series in a flush ({points} points)")
            }
            Workload::Seed => String::new(), // shares the table of `Few`
            Workload::Single => {
                format!("{devices} devices, one point per series in a flush ({points} points)")
            }
            Workload::Late => {
                format!("late points, 10 days old, into compressed chunks ({points} points)")
            }
            Workload::Many => {
                format!("{devices} devices, 100 points per series in a batch ({points} points)")
            }
            Workload::Producers => {
                format!("{devices} producers, one point per batch ({points} points)")
            }
        }
    }
}

impl fmt::Display for IngestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Edition { timescaledb, postgres } = &self.edition;
        let Machine { cores, cpu } = &self.machine;
        let embedded = if self.embedded { ", embedded" } else { "" };
        writeln!(
            f,
            "\nTimescaleDB {timescaledb} Community on PostgreSQL {postgres}{embedded}; \
             {cores} cores, {cpu}"
        )?;
        let rounds = if self.plan.rounds == 1 {
            "one round".to_owned()
        } else {
            format!("medians of {} rounds", self.plan.rounds)
        };
        writeln!(f, "Batches of {} points; {rounds}", thousands(BATCH_POINTS as f64))?;
        for workload in
            [Workload::Few, Workload::Single, Workload::Late, Workload::Many, Workload::Producers]
        {
            writeln!(f, "\n{:<70} {:>12} {:>8}", self.title(workload), "points/s", "of COPY")?;
            let belongs = |of: Workload| {
                of == workload || (of == Workload::Seed && workload == Workload::Few)
            };
            for measurement in
                MEASUREMENTS.iter().filter(|measurement| belongs(measurement.workload))
            {
                self.row(f, measurement)?;
            }
        }
        self.summary(f)
    }
}

impl IngestReport {
    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IngestFigures { light, half_load, .. } = &self.figures;
        let [p50, p99] = [0.5, 0.99].map(|share| light.percentile(share));
        let [half_p50, half_p99] = [0.5, 0.99].map(|share| half_load.percentile(share));
        writeln!(f, "\nacknowledgement, light load    p50 {p50:.1} ms, p99 {p99:.1} ms")?;
        writeln!(f, "acknowledgement, half load     p50 {half_p50:.1} ms, p99 {half_p99:.1} ms")?;
        if let Some(peak) = self.figures.peak_mib {
            writeln!(f, "memory of the service, peak    {peak:.0} MiB")?;
        }
        let bytes = median(&self.figures.bytes_per_point);
        writeln!(f, "bytes per point, compressed    {bytes:.1}")?;
        if let Some(bytes) = self.figures.ledger_bytes_per_batch {
            writeln!(f, "ledger, per million batches    {:.1} MB", bytes)?;
        }
        let late = self.figures.late_in_rollups;
        writeln!(
            f,
            "late points in all rollups     {late:.1} s after the start of their policies"
        )?;
        if let Some(ManySeries { series, new_rate, known_rate, bytes_per_series }) =
            self.figures.many_series
        {
            let [series, new, known] = [series as f64, new_rate, known_rate].map(thousands);
            writeln!(f, "{series} series, all new           {new} points/s")?;
            writeln!(f, "the same, with an empty cache  {known} points/s")?;
            if let Some(bytes) = bytes_per_series {
                writeln!(f, "memory per cached series       {bytes:.0} bytes")?;
            }
        }
        writeln!(f, "\nratios")?;
        if let Value::Object(ratios) = self.ratios() {
            for (name, ratio) in &ratios {
                writeln!(
                    f,
                    "  {name:<28} {}",
                    ratio.as_f64().map_or("-".to_owned(), |ratio| format!("{ratio:.3}"))
                )?;
            }
        }
        writeln!(f)?;
        for rival in Rival::ALL.iter().filter(|rival| rival.is_installed()) {
            writeln!(f, "{} {}.", rival.name(), rival.acknowledges())?;
        }
        writeln!(f, "ingest-service acknowledges once COMMIT has returned.")
    }
}

fn label(measurement: &Measurement) -> String {
    use super::copy::Storage;
    use super::render::Form;
    match measurement.path {
        StorePath::Copy { storage: Storage::RowStore, .. } => "COPY, row store".to_owned(),
        StorePath::Copy { storage: Storage::DirectCompress, .. } => {
            "COPY, direct compress".to_owned()
        }
        StorePath::Copy { storage: Storage::Presorted, .. } => {
            "COPY, direct compress, presorted".to_owned()
        }
        StorePath::Service(IngestCall::ManyProducers, _) => {
            "ingest-service, IngestWithAcks, a producer per device".to_owned()
        }
        StorePath::Service(call, Form::Series) => format!("ingest-service, {call:?}, series form"),
        StorePath::Service(call, Form::Row) => format!("ingest-service, {call:?}, row form"),
        StorePath::Seed => "execute_batch from Python, as in the first version".to_owned(),
        StorePath::Rival(rival) => format!("{}, line protocol", rival.name()),
    }
}

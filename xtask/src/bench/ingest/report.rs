//! What a person, or a program with `--json`, gets to see.

use std::fmt;

use serde_json::{Map, Value, json};

use super::plan::{Kind, MEASUREMENTS, Measurement, Plan, Way};
use super::rounds::Figures;
use super::series::ManySeries;
use super::shape::BATCH_POINTS;
use crate::bench::machine::Machine;
use crate::bench::numbers::{median, rounded, thousands};
use crate::bench::rival::Rival;
use shared::db::Edition;

/// Everything that the bench found out, and on what.
pub(super) struct Report {
    pub(super) plan: Plan,
    pub(super) edition: Edition,
    pub(super) embedded: bool,
    pub(super) machine: Machine,
    pub(super) figures: Figures,
}

impl Report {
    /// The best of the ways to write rows of this kind without a service.
    fn limit(&self, kind: Kind) -> Option<f64> {
        let copies = MEASUREMENTS.iter().filter(|measurement| measurement.kind == kind);
        let rates = copies.filter(|measurement| matches!(measurement.way, Way::Copy(_)));
        rates.filter_map(|measurement| self.figures.rate(measurement.key)).max_by(f64::total_cmp)
    }

    fn ratio(&self, key: &str, other: Option<f64>) -> Option<f64> {
        Some(self.figures.rate(key)? / other?)
    }

    /// A sender chooses its form: the better one of both counts.
    fn single_vs_copy(&self) -> Option<f64> {
        let better =
            ["single_series", "single_row"].iter().filter_map(|key| self.figures.rate(key));
        Some(better.max_by(f64::total_cmp)? / self.limit(Kind::Single)?)
    }

    fn ratios(&self) -> Value {
        let rate = |key| self.figures.rate(key);
        json!({
            "series_vs_copy": rounded(self.ratio("series", self.limit(Kind::Few))),
            "row_vs_series": rounded(self.ratio("row", rate("series"))),
            "single_vs_copy": rounded(self.single_vs_copy()),
            "late_vs_copy": rounded(self.ratio("late_series", self.limit(Kind::Late))),
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
        let (half_load, many) = (&self.figures.half_load, self.figures.many_series);
        let more = [
            ("copy_limit_pps", self.limit(Kind::Few).map(f64::round)),
            ("single_copy_limit_pps", self.limit(Kind::Single).map(f64::round)),
            ("ack_p50_ms", rounded(Some(self.figures.light.percentile(0.5)))),
            ("ack_p99_ms", rounded(Some(self.figures.light.percentile(0.99)))),
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

    /// One object, for programs.
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
        let kind = if measurement.kind == Kind::Seed { Kind::Few } else { measurement.kind };
        let ratio = self.limit(kind).map_or(0.0, |limit| rate / limit);
        writeln!(f, "  {:<68} {:>12} {ratio:>8.3}", label(measurement), thousands(rate))
    }

    fn title(&self, kind: Kind) -> String {
        let shape = self.plan.shape(kind);
        let (devices, points) = (thousands(shape.devices as f64), thousands(shape.points() as f64));
        match kind {
            Kind::Few => {
                format!("{devices} devices, 100 points a series in a flush ({points} points)")
            }
            Kind::Seed => String::new(), // stands with the few
            Kind::Single => {
                format!("{devices} devices, one point a series in a flush ({points} points)")
            }
            Kind::Late => {
                format!("late points, 10 days back, into compressed chunks ({points} points)")
            }
            Kind::Many => {
                format!("{devices} devices, 100 points a series in a batch ({points} points)")
            }
            Kind::Producers => format!("{devices} producers, one point a batch ({points} points)"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Edition { timescaledb, postgres }, Machine { cores, cpu }) =
            (&self.edition, &self.machine);
        let embedded = if self.embedded { ", embedded" } else { "" };
        writeln!(
            f,
            "\nTimescaleDB {timescaledb} Community on PostgreSQL {postgres}{embedded}; {cores} cores, {cpu}"
        )?;
        let rounds = if self.plan.rounds == 1 {
            "one round".to_owned()
        } else {
            format!("medians of {} rounds", self.plan.rounds)
        };
        writeln!(f, "Batches of {} points; {rounds}", thousands(BATCH_POINTS as f64))?;
        for kind in [Kind::Few, Kind::Single, Kind::Late, Kind::Many, Kind::Producers] {
            writeln!(f, "\n{:<70} {:>12} {:>8}", self.title(kind), "points/s", "of COPY")?;
            let belongs = |of: Kind| of == kind || (of == Kind::Seed && kind == Kind::Few);
            for measurement in MEASUREMENTS.iter().filter(|measurement| belongs(measurement.kind)) {
                self.row(f, measurement)?;
            }
        }
        self.summary(f)
    }
}

impl Report {
    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { light, half_load, .. } = &self.figures;
        let milliseconds = |share| (light.percentile(share), half_load.percentile(share));
        let ((p50, half_p50), (p99, half_p99)) = (milliseconds(0.5), milliseconds(0.99));
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
        writeln!(f, "late points in all rollups     {late:.1} s after their policies begin")?;
        if let Some(ManySeries { series, new_rate, known_rate, bytes_per_series }) =
            self.figures.many_series
        {
            let [series, new, known] = [series as f64, new_rate, known_rate].map(thousands);
            writeln!(f, "{series} series, all new           {new} points/s")?;
            writeln!(f, "the same, to a fresh service   {known} points/s")?;
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
    match measurement.way {
        Way::Copy(Storage::RowStore) => "COPY, row store".to_owned(),
        Way::Copy(Storage::DirectCompress) => "COPY, direct compress".to_owned(),
        Way::Copy(Storage::Presorted) => "COPY, direct compress, presorted".to_owned(),
        Way::Service(call, Form::Series) => format!("ingest-service, {call:?}, series form"),
        Way::Service(call, Form::Row) => format!("ingest-service, {call:?}, row form"),
        Way::Seed => "execute_batch from Python, as the seed did it".to_owned(),
        Way::Rival(rival) => format!("{}, line protocol", rival.name()),
    }
}

//! Report of the sustained rates, as text or as JSON.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use shared::db::Edition;

use super::feed::Fleet;
use super::rivals::RivalOutcome;
use super::trial::TrialOutcome;
use crate::bench::machine::Machine;
use crate::bench::numbers::thousands;

const MIB: f64 = 1_048_576.0;

/// Results of all runs.
pub(super) struct SustainedReport {
    machine: Machine,
    length: Duration,
    runs: Vec<(Fleet, Edition, TrialOutcome)>,
    pub(super) rivals: Vec<RivalOutcome>,
}

impl SustainedReport {
    pub(super) fn new(machine: Machine, length: Duration) -> Self {
        Self { machine, length, runs: Vec::new(), rivals: Vec::new() }
    }

    pub(super) fn add(&mut self, fleet: Fleet, edition: Edition, outcome: TrialOutcome) {
        self.runs.push((fleet, edition, outcome));
    }

    /// Returns one JSON object with all results.
    pub(super) fn json(&self) -> Value {
        let runs: Vec<Value> =
            self.runs.iter().map(|(fleet, _, outcome)| run_json(*fleet, outcome)).collect();
        let rivals = self.rivals.iter().map(|outcome| {
            json!({
                "name": outcome.rival.name(),
                "series": outcome.series,
                "pps": outcome.rate.round(),
                "last_third_pps": outcome.late_rate.round(),
                "bytes": outcome.bytes,
            })
        });
        let rivals: Vec<Value> = rivals.collect();
        json!({ "sustained": { "seconds": self.length.as_secs(), "runs": runs, "rivals": rivals } })
    }
}

fn run_json(fleet: Fleet, outcome: &TrialOutcome) -> Value {
    let samples: Vec<Value> = outcome.samples.iter().map(super::sample::Sample::json).collect();
    let both = outcome.fresh.iter().zip(&outcome.compacted);
    let questions = both.map(|((key, fresh), (_, compacted))| {
        json!({
            "question": key,
            "fresh_ms": fresh,
            "compacted_ms": compacted,
            "ratio": ratio(*fresh, *compacted),
        })
    });
    let questions: Vec<Value> = questions.collect();
    json!({
        "series": fleet.series,
        "wanted_pps": outcome.wanted.map(f64::round),
        "pps": outcome.rate().round(),
        "keeps_up": outcome.keeps_up(),
        "ack_p50_ms": outcome.ack_p50_ms,
        "ack_p99_ms": outcome.ack_p99_ms,
        "wal_bytes": wal_bytes(outcome),
        "service_peak_mib": outcome.peak_mib,
        "samples": samples,
        "questions": questions,
    })
}

fn wal_bytes(outcome: &TrialOutcome) -> f64 {
    let last = outcome.samples.last().unwrap_or(&outcome.before);
    last.database.wal_bytes - outcome.before.database.wal_bytes
}

impl fmt::Display for SustainedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nSustained ingest: {} s per run; {} cores, {}",
            self.length.as_secs(),
            self.machine.cores,
            self.machine.cpu
        )?;
        for (fleet, edition, outcome) in &self.runs {
            let wanted = outcome
                .wanted
                .map_or("full speed".to_owned(), |rate| format!("{} points/s", thousands(rate)));
            writeln!(
                f,
                "\n{} series at {wanted}: {} points/s, {} (TimescaleDB {}, PostgreSQL {})",
                thousands(fleet.series as f64),
                thousands(outcome.rate()),
                if outcome.keeps_up() { "the rollups kept up" } else { "the rollups fell behind" },
                edition.timescaledb,
                edition.postgres,
            )?;
            writeln!(
                f,
                "acknowledgement p50 {:.0} ms, p99 {:.0} ms; {:.1} bytes of WAL per point; \
                 peak memory of the service {:.0} MiB",
                outcome.ack_p50_ms,
                outcome.ack_p99_ms,
                wal_bytes(outcome) / outcome.points as f64,
                outcome.peak_mib.unwrap_or(0.0),
            )?;
            samples(f, outcome)?;
            questions(f, outcome)?;
        }
        for outcome in &self.rivals {
            writeln!(
                f,
                "{:<16} {:>7} series {:>12} points/s, {:>12} in the last third, \
                 {:>8.0} MiB on disk",
                outcome.rival.name(),
                thousands(outcome.series as f64),
                thousands(outcome.rate),
                thousands(outcome.late_rate),
                outcome.bytes as f64 / MIB,
            )?;
        }
        Ok(())
    }
}

fn samples(f: &mut fmt::Formatter<'_>, outcome: &TrialOutcome) -> fmt::Result {
    writeln!(
        f,
        "{:>6} {:>12} {:>8} {:>12} {:>10} {:>12} {:>13} {:>13}",
        "s",
        "points/s",
        "p99 ms",
        "lag 1min, s",
        "lag 1h, s",
        "backlog",
        "row store MiB",
        "database MiB"
    )?;
    for sample in &outcome.samples {
        writeln!(
            f,
            "{:>6.0} {:>12} {:>8.0} {:>12.0} {:>10.0} {:>12} {:>13.0} {:>13.0}",
            sample.at,
            thousands(sample.rate),
            sample.ack_p99_ms,
            sample.lag_s[0],
            sample.lag_s[1],
            thousands(sample.database.backlog_batches),
            sample.database.row_store_bytes / MIB,
            sample.database.database_bytes / MIB,
        )?;
    }
    Ok(())
}

fn questions(f: &mut fmt::Formatter<'_>, outcome: &TrialOutcome) -> fmt::Result {
    writeln!(f, "{:<24} {:>10} {:>13} {:>7}", "question", "fresh, ms", "compacted, ms", "ratio")?;
    for ((key, fresh), (_, compacted)) in outcome.fresh.iter().zip(&outcome.compacted) {
        let cells = [*fresh, *compacted, ratio(*fresh, *compacted)]
            .map(|value| value.map_or("timeout".to_owned(), |value| format!("{value:.2}")));
        writeln!(f, "{key:<24} {:>10} {:>13} {:>7}", cells[0], cells[1], cells[2])?;
    }
    writeln!(f)
}

/// Returns how much longer a question takes than on compacted data, if both were answered.
fn ratio(fresh: Option<f64>, compacted: Option<f64>) -> Option<f64> {
    Some(fresh? / compacted?)
}

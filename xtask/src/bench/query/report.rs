//! What a person, or a program with `--json`, gets to see.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};
use shared::db::Edition;

use super::data::Scale;
use super::pressure::{CALLERS, POURED};
use super::question::Question;
use super::rounds::{Figures, Latencies};
use super::way::Way;
use crate::bench::machine::Machine;
use crate::bench::numbers::{percentile, rounded, thousands};

/// Everything that was found out, and on what.
pub(super) struct Report {
    machine: Machine,
    database: Option<(Edition, bool)>,
    figures: BTreeMap<Scale, Figures>,
}

impl Report {
    pub(super) fn new(machine: Machine) -> Self {
        Self { machine, database: None, figures: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, scale: Scale, edition: Edition, embedded: bool, figures: Figures) {
        self.database = Some((edition, embedded));
        self.figures.insert(scale, figures);
    }

    /// How much longer the service takes with more data.
    fn growth(&self, scale: Scale, question: Question) -> Option<f64> {
        let p50 = |scale| share(&self.figures.get(&scale)?.latencies, question, Way::Service, 0.5);
        Some(p50(scale)? / p50(Scale::Once)?)
    }

    /// Whether the service is faster than every rival that was asked beside it; `None` where none was.
    fn ahead(&self, question: Question) -> Option<bool> {
        let p50 = |way| share(&self.figures.get(&Scale::Once)?.beside_rivals, question, way, 0.5);
        let fastest = Way::RIVALS.into_iter().filter_map(p50).min_by(f64::total_cmp)?;
        Some(p50(Way::Service)? < fastest)
    }

    /// Questions where the service is ahead, and questions where it has a rival.
    fn ahead_of_rivals(&self) -> (usize, usize) {
        let compared: Vec<bool> =
            Question::ALL.iter().filter_map(|&question| self.ahead(question)).collect();
        (compared.iter().filter(|ahead| **ahead).count(), compared.len())
    }

    /// One object, for programs.
    pub(super) fn json(&self) -> Value {
        let database = self.database.as_ref().map(|(edition, embedded)| {
            json!({
                "version": edition.timescaledb,
                "edition": "Community",
                "postgres": edition.postgres,
                "embedded": embedded,
            })
        });
        let questions =
            Question::ALL.map(|question| (question.key().to_owned(), self.question(question)));
        let points: Map<_, _> = self
            .figures
            .iter()
            .map(|(&scale, of)| (key(scale).to_owned(), of.points.into()))
            .collect();
        let once = self.figures.get(&Scale::Once);
        let per_second =
            |way| rounded(once.and_then(|figures| figures.per_second.get(&way).copied()));
        let (ahead, compared) = self.ahead_of_rivals();
        json!({
            "database": database,
            "machine": { "cores": self.machine.cores, "cpu": self.machine.cpu },
            "query": {
                "points": points,
                "questions": questions.into_iter().collect::<Map<_, _>>(),
                "query_service_growth_mib": rounded(once.and_then(|figures| figures.growth_mib)),
                "day_in_minutes_8_callers": {
                    "service_per_second": per_second(Way::Service),
                    "sql_per_second": per_second(Way::Direct),
                },
                "ahead_of_rivals": ahead,
                "compared_with_rivals": compared,
            },
        })
    }

    fn question(&self, question: Question) -> Value {
        let mut object = self.measured(Scale::Once, question);
        object.insert("ahead_of_rivals".to_owned(), json!(self.ahead(question)));
        let pouring = self.figures.get(&Scale::Once).map(|figures| &figures.while_pouring);
        object.insert("while_pouring".to_owned(), latencies(pouring, question, &Way::OWN).into());
        for scale in [Scale::TenTimes, Scale::HundredTimes] {
            let mut with_more = self.measured(scale, question);
            with_more.insert("growth".to_owned(), json!(rounded(self.growth(scale, question))));
            object.insert(key(scale).to_owned(), with_more.into());
        }
        object.into()
    }

    /// The service and SQL in turn, the rivals, and the former two once more with the rivals between.
    fn measured(&self, scale: Scale, question: Question) -> Map<String, Value> {
        let figures = self.figures.get(&scale);
        let beside_rivals = figures.map(|figures| &figures.beside_rivals);
        let mut object = latencies(figures.map(|figures| &figures.latencies), question, &Way::OWN);
        object.append(&mut percentiles(beside_rivals, question, &Way::RIVALS));
        object.insert(
            "beside_rivals".to_owned(),
            latencies(beside_rivals, question, &Way::OWN).into(),
        );
        object
    }
}

fn share(latencies: &Latencies, question: Question, way: Way, share: f64) -> Option<f64> {
    latencies.get(&(question, way)).map(|values| percentile(values, share))
}

/// p50 and p99 of each way, and how far the service is above SQL.
fn latencies(of: Option<&Latencies>, question: Question, ways: &[Way]) -> Map<String, Value> {
    let mut object = percentiles(of, question, ways);
    let p50 = |way| share(of?, question, way, 0.5);
    let overhead = p50(Way::Service).zip(p50(Way::Direct)).map(|(service, sql)| service / sql);
    object.insert("overhead".to_owned(), json!(rounded(overhead)));
    object
}

fn percentiles(of: Option<&Latencies>, question: Question, ways: &[Way]) -> Map<String, Value> {
    let value = |way, at| json!(rounded(of.and_then(|of| share(of, question, way, at))));
    let both = |&way: &Way| {
        [("p50", 0.5), ("p99", 0.99)]
            .map(|(name, at)| (format!("{}_{name}_ms", way.key()), value(way, at)))
    };
    ways.iter().flat_map(both).collect()
}

fn key(scale: Scale) -> &'static str {
    match scale {
        Scale::Once => "at_1x",
        Scale::TenTimes => "at_10x",
        Scale::HundredTimes => "at_100x",
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((Edition { timescaledb, postgres }, embedded)) = &self.database {
            let embedded = if *embedded { ", embedded" } else { "" };
            let Machine { cores, cpu } = &self.machine;
            writeln!(
                f,
                "\nTimescaleDB {timescaledb} Community on PostgreSQL {postgres}{embedded}; {cores} cores, {cpu}"
            )?;
        }
        for (scale, figures) in &self.figures {
            table(
                f,
                &format!("{} points, p50 in ms", thousands(figures.points as f64)),
                &figures.latencies,
                0.5,
            )?;
            if *scale == Scale::Once {
                table(f, "the same, p99 in ms", &figures.latencies, 0.99)?;
            }
            if !figures.beside_rivals.is_empty() {
                table(f, "the same with rivals between, p50 in ms", &figures.beside_rivals, 0.5)?;
            }
            if !figures.while_pouring.is_empty() {
                let title = format!("while {} points/s pour in, p50 in ms", thousands(POURED));
                table(f, &title, &figures.while_pouring, 0.5)?;
            }
        }
        self.summary(f)
    }
}

fn table(f: &mut fmt::Formatter<'_>, title: &str, of: &Latencies, at: f64) -> fmt::Result {
    writeln!(
        f,
        "\n{title:<44} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "service", "SQL", "ratio", "InfluxDB", "Victoria"
    )?;
    for question in Question::ALL {
        let [service, sql] = Way::OWN.map(|way| share(of, question, way, at));
        let [influxdb, victoriametrics] = Way::RIVALS.map(|way| share(of, question, way, at));
        let ratio = service.zip(sql).map(|(service, sql)| service / sql);
        let [service, sql, ratio, influxdb, victoriametrics] =
            [service, sql, ratio, influxdb, victoriametrics]
                .map(|ms| ms.map_or("-".to_owned(), |ms| format!("{ms:.2}")));
        writeln!(
            f,
            "  {:<42} {service:>9} {sql:>9} {ratio:>9} {influxdb:>9} {victoriametrics:>9}",
            question.title()
        )?;
    }
    Ok(())
}

impl Report {
    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = [(Scale::TenTimes, "10"), (Scale::HundredTimes, "100")];
        for (scale, times) in more.iter().filter(|(scale, _)| self.figures.contains_key(scale)) {
            let growth =
                Question::ALL.map(|question| self.growth(*scale, question).unwrap_or(f64::NAN));
            let growth = growth.map(|growth| format!("{growth:.2}")).join(", ");
            writeln!(f, "\n{times} times the data, times the latency of the service: {growth}")?;
        }
        let Some(once) = self.figures.get(&Scale::Once) else { return Ok(()) };
        if let Some(growth) = once.growth_mib {
            writeln!(f, "\nmemory of the service, growth over a million points: {growth:.0} MiB")?;
        }
        for (way, rate) in &once.per_second {
            let rate = thousands(*rate);
            writeln!(
                f,
                "days in minutes by {CALLERS} callers at once, {}: {rate} a second",
                way.key()
            )?;
        }
        match self.ahead_of_rivals() {
            (_, 0) => writeln!(f, "\nno rival is installed"),
            (ahead, compared) => {
                writeln!(f, "\nahead of every rival in {ahead} of {compared} questions")
            }
        }
    }
}

//! Report of the query measurements, as text or as JSON.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};
use shared::db::Edition;

use super::data::Scale;
use super::latencies::AnswerLatencies;
use super::paths::QueryPath;
use super::pressure::{CALLERS, INGEST_RATE};
use super::question::Question;
use super::rounds::QueryFigures;
use crate::bench::machine::Machine;
use crate::bench::numbers::{percentile, rounded, thousands};

/// All results, with the database and the machine on which they were measured.
pub(super) struct QueryReport {
    machine: Machine,
    database: Option<(Edition, bool)>,
    figures: BTreeMap<Scale, QueryFigures>,
}

impl QueryReport {
    pub(super) fn new(machine: Machine) -> Self {
        Self { machine, database: None, figures: BTreeMap::new() }
    }

    pub(super) fn add(
        &mut self,
        scale: Scale,
        edition: Edition,
        embedded: bool,
        figures: QueryFigures,
    ) {
        self.database = Some((edition, embedded));
        self.figures.insert(scale, figures);
    }

    /// Returns the service's latency relative to its latency with the smallest amount of data.
    fn growth(&self, scale: Scale, question: Question) -> Option<f64> {
        let p50 = |scale| {
            percentile_of(&self.figures.get(&scale)?.latencies, question, QueryPath::Service, 0.5)
        };
        Some(p50(scale)? / p50(Scale::Once)?)
    }

    /// Returns whether the service is faster than every rival. `None` if no rival was measured.
    fn ahead(&self, question: Question) -> Option<bool> {
        let p50 = |path| {
            percentile_of(&self.figures.get(&Scale::Once)?.beside_rivals, question, path, 0.5)
        };
        let fastest = QueryPath::RIVALS.into_iter().filter_map(p50).min_by(f64::total_cmp)?;
        Some(p50(QueryPath::Service)? < fastest)
    }

    /// Returns the number of questions in which the service is ahead, and the number that were
    /// compared.
    fn ahead_of_rivals(&self) -> (usize, usize) {
        let compared: Vec<bool> =
            Question::ALL.iter().filter_map(|&question| self.ahead(question)).collect();
        (compared.iter().filter(|ahead| **ahead).count(), compared.len())
    }

    /// Returns one JSON object with all results.
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
            |path| rounded(once.and_then(|figures| figures.per_second.get(&path).copied()));
        let (ahead, compared) = self.ahead_of_rivals();
        json!({
            "database": database,
            "machine": { "cores": self.machine.cores, "cpu": self.machine.cpu },
            "query": {
                "points": points,
                "questions": questions.into_iter().collect::<Map<_, _>>(),
                "query_service_growth_mib": rounded(once.and_then(|figures| figures.growth_mib)),
                "day_in_minutes_8_callers": {
                    "service_per_second": per_second(QueryPath::Service),
                    "sql_per_second": per_second(QueryPath::Direct),
                },
                "ahead_of_rivals": ahead,
                "compared_with_rivals": compared,
            },
        })
    }

    fn question(&self, question: Question) -> Value {
        let mut object = self.measured(Scale::Once, question);
        object.insert("ahead_of_rivals".to_owned(), json!(self.ahead(question)));
        let ingesting = self.figures.get(&Scale::Once).map(|figures| &figures.during_ingest);
        object.insert(
            "while_pouring".to_owned(),
            latencies(ingesting, question, &QueryPath::OWN).into(),
        );
        for scale in [Scale::TenTimes, Scale::HundredTimes] {
            let mut with_more = self.measured(scale, question);
            with_more.insert("growth".to_owned(), json!(rounded(self.growth(scale, question))));
            object.insert(key(scale).to_owned(), with_more.into());
        }
        object.into()
    }

    /// Returns the latencies of the service and of SQL, alone and beside the rivals, and those of
    /// the rivals.
    fn measured(&self, scale: Scale, question: Question) -> Map<String, Value> {
        let figures = self.figures.get(&scale);
        let beside_rivals = figures.map(|figures| &figures.beside_rivals);
        let mut object =
            latencies(figures.map(|figures| &figures.latencies), question, &QueryPath::OWN);
        object.append(&mut percentiles(beside_rivals, question, &QueryPath::RIVALS));
        object.insert(
            "beside_rivals".to_owned(),
            latencies(beside_rivals, question, &QueryPath::OWN).into(),
        );
        object
    }
}

fn percentile_of(
    latencies: &AnswerLatencies,
    question: Question,
    path: QueryPath,
    share: f64,
) -> Option<f64> {
    latencies.get(&(question, path)).map(|values| percentile(values, share))
}

/// Returns p50 and p99 of each path, and the service's p50 relative to that of SQL.
fn latencies(
    of: Option<&AnswerLatencies>,
    question: Question,
    paths: &[QueryPath],
) -> Map<String, Value> {
    let mut object = percentiles(of, question, paths);
    let p50 = |path| percentile_of(of?, question, path, 0.5);
    let overhead =
        p50(QueryPath::Service).zip(p50(QueryPath::Direct)).map(|(service, sql)| service / sql);
    object.insert("overhead".to_owned(), json!(rounded(overhead)));
    object
}

fn percentiles(
    of: Option<&AnswerLatencies>,
    question: Question,
    paths: &[QueryPath],
) -> Map<String, Value> {
    let value = |path, at| json!(rounded(of.and_then(|of| percentile_of(of, question, path, at))));
    let both = |&path: &QueryPath| {
        [("p50", 0.5), ("p99", 0.99)]
            .map(|(name, at)| (format!("{}_{name}_ms", path.key()), value(path, at)))
    };
    paths.iter().flat_map(both).collect()
}

fn key(scale: Scale) -> &'static str {
    match scale {
        Scale::Once => "at_1x",
        Scale::TenTimes => "at_10x",
        Scale::HundredTimes => "at_100x",
    }
}

impl fmt::Display for QueryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((Edition { timescaledb, postgres }, embedded)) = &self.database {
            let embedded = if *embedded { ", embedded" } else { "" };
            let Machine { cores, cpu } = &self.machine;
            writeln!(
                f,
                "\nTimescaleDB {timescaledb} Community on PostgreSQL {postgres}{embedded}; \
                 {cores} cores, {cpu}"
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
                table(f, "the same with rivals in turn, p50 in ms", &figures.beside_rivals, 0.5)?;
            }
            if !figures.during_ingest.is_empty() {
                let title =
                    format!("during ingest of {} points/s, p50 in ms", thousands(INGEST_RATE));
                table(f, &title, &figures.during_ingest, 0.5)?;
            }
        }
        self.summary(f)
    }
}

fn table(f: &mut fmt::Formatter<'_>, title: &str, of: &AnswerLatencies, at: f64) -> fmt::Result {
    writeln!(
        f,
        "\n{title:<44} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "service", "SQL", "ratio", "InfluxDB", "Victoria"
    )?;
    for question in Question::ALL {
        let [service, sql] = QueryPath::OWN.map(|path| percentile_of(of, question, path, at));
        let [influxdb, victoriametrics] =
            QueryPath::RIVALS.map(|path| percentile_of(of, question, path, at));
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

impl QueryReport {
    fn summary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = [(Scale::TenTimes, "10"), (Scale::HundredTimes, "100")];
        for (scale, times) in more.iter().filter(|(scale, _)| self.figures.contains_key(scale)) {
            let growth =
                Question::ALL.map(|question| self.growth(*scale, question).unwrap_or(f64::NAN));
            let growth = growth.map(|growth| format!("{growth:.2}")).join(", ");
            writeln!(
                f,
                "\nlatency of the service with {times} times the data, as a ratio: {growth}"
            )?;
        }
        let Some(once) = self.figures.get(&Scale::Once) else { return Ok(()) };
        if let Some(growth) = once.growth_mib {
            writeln!(f, "\nmemory growth of the service for a million points: {growth:.0} MiB")?;
        }
        for (path, rate) in &once.per_second {
            let rate = thousands(*rate);
            writeln!(
                f,
                "a day in minutes by {CALLERS} concurrent callers, {}: {rate} answers/s",
                path.key()
            )?;
        }
        match self.ahead_of_rivals() {
            (_, 0) => writeln!(f, "\nno rival was measured"),
            (ahead, compared) => {
                writeln!(f, "\nahead of every rival in {ahead} of {compared} questions")
            }
        }
    }
}

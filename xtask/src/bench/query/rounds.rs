//! Repeats every question on all paths in turn.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use e2e::Memory;

use super::data::Dataset;
use super::latencies::AnswerLatencies;
use super::load;
use super::paths::{QueryPath, QueryPaths, start_rivals};
use super::pressure;
use super::question::{PLACES_APART, Question};
use crate::bench::numbers::percentile;
use crate::bench::step;
use crate::own_database::OwnDatabase;
use crate::release::Kind;
use crate::service::Service;

/// Repetitions of the measurements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Repetitions of each question on each path.
    pub(super) repetitions: usize,
    /// Repetitions of the question for a million points. Also the minimum on a path that exceeds
    /// `max_time`.
    pub(super) million_repetitions: usize,
    /// Time after which a path gets no more repetitions of a question.
    pub(super) max_time: Duration,
    /// Whether rivals are queried too.
    pub(super) rivals: bool,
    /// Length of each measurement under pressure: during ingest, and with several callers. `None`
    /// skips them.
    pub(super) pressure: Option<Duration>,
}

/// Results with one amount of data.
#[derive(Default)]
pub(super) struct QueryFigures {
    pub(super) points: u64,
    /// Latencies of query-service and SQL in turn.
    pub(super) latencies: AnswerLatencies,
    /// Latencies of all paths in turn, if there are rivals. While a path waits for its turn, other
    /// paths evict its data from caches.
    pub(super) beside_rivals: AnswerLatencies,
    pub(super) during_ingest: AnswerLatencies,
    /// Answers per second to the first question, with several concurrent callers.
    pub(super) per_second: BTreeMap<QueryPath, f64>,
    /// Growth of query-service's memory while it returns a million points.
    pub(super) growth_mib: Option<f64>,
}

/// Fills a database, starts the service and the rivals, and measures all questions.
pub(super) async fn measure(
    database: &OwnDatabase,
    data: Dataset,
    plan: Plan,
    scratch: &Path,
) -> anyhow::Result<QueryFigures> {
    step(&format!("storing {} points and materialising their rollups", data.points()));
    load::fill(database, data).await?;
    let rivals = if plan.rivals { start_rivals(data, scratch).await? } else { Vec::new() };
    let service = Service::start(Kind::Query, database.url()).await?;
    let mut paths = QueryPaths::own(&service, database).await?;
    for rival in &rivals {
        paths.add(rival).await?;
    }
    let mut figures = QueryFigures { points: data.points(), ..QueryFigures::default() };
    for question in Question::ALL {
        paths.compare(question, data).await?;
        if question == Question::MillionPoints {
            figures.growth_mib = growth(&mut paths, data, service.memory()).await?;
        }
        let own = &QueryPath::OWN[..];
        let all = paths.all();
        query_repeatedly(&mut paths, own, question, data, plan, &mut figures.latencies).await?;
        if all.len() > own.len() {
            query_repeatedly(&mut paths, &all, question, data, plan, &mut figures.beside_rivals)
                .await?;
        }
    }
    if let Some(length) = plan.pressure {
        figures.per_second = pressure::concurrent_callers(&service, database, data, length).await?;
        figures.during_ingest = pressure::during_ingest(&mut paths, database, data, length).await?;
    }
    service.stop().await;
    for rival in rivals {
        rival.stop().await?;
    }
    Ok(figures)
}

/// Sends a question on the given paths in turn, first as a warm-up. Each round begins with another
/// path. A path that has exceeded its time is skipped.
async fn query_repeatedly(
    paths: &mut QueryPaths,
    all: &[QueryPath],
    question: Question,
    data: Dataset,
    plan: Plan,
    latencies: &mut AnswerLatencies,
) -> anyhow::Result<()> {
    let (repetitions, warm_up) = match question {
        Question::MillionPoints => (plan.million_repetitions, 1),
        _ => (plan.repetitions, plan.repetitions / 5),
    };
    let mut warmed_up = AnswerLatencies::new();
    for round in 0..warm_up + repetitions {
        let (into, limit) = if round < warm_up {
            (&mut warmed_up, plan.max_time / 5)
        } else {
            (&mut *latencies, plan.max_time)
        };
        for turn in 0..all.len() {
            let at = (turn + round) % all.len();
            let answers = into.entry((question, all[at])).or_default();
            let spent = Duration::from_secs_f64(answers.iter().sum::<f64>() / 1_000.0);
            if spent < limit || answers.len() < plan.million_repetitions {
                let placed = question.at(data, round + at * PLACES_APART);
                answers.push(paths.query(all[at], &placed).await?);
            }
        }
    }
    for &path in all {
        let median = percentile(&latencies[&(question, path)], 0.5);
        step(&format!("{:<24} {:<16} p50 {median:>9.2} ms", question.key(), path.key()));
    }
    Ok(())
}

/// Returns the service's peak memory during answers, less its memory before them.
async fn growth(
    paths: &mut QueryPaths,
    data: Dataset,
    memory: Option<Memory>,
) -> anyhow::Result<Option<f64>> {
    let Some(memory) = memory else { return Ok(None) };
    if memory.forget_peak().is_none() {
        return Ok(None);
    }
    let before = memory.now_mib();
    for place in 0..3 {
        paths.query(QueryPath::Service, &Question::MillionPoints.at(data, place)).await?;
    }
    Ok(memory.peak_mib().zip(before).map(|(peak, before)| peak - before))
}

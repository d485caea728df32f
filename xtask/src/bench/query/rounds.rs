//! Asks every question again and again, the ways in turn.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use e2e::Memory;

use super::data::Data;
use super::load;
use super::pressure;
use super::question::Question;
use super::way::{Way, Ways, start_rivals};
use crate::bench::numbers::percentile;
use crate::bench::step;
use crate::own_database::OwnDatabase;
use crate::release::Kind;
use crate::service::Service;

/// Ways are this many places apart, so that none asks what another one has just asked.
pub(super) const PLACES_APART: usize = 7;

/// How often, and how much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// How often each question is asked each way.
    pub(super) repetitions: usize,
    /// The same for a million points, and for a way that takes longer than `most_time` with a question.
    pub(super) millions: usize,
    pub(super) most_time: Duration,
    /// Whether rivals are asked too.
    pub(super) rivals: bool,
    /// Whether points pour in afterwards, and callers come eight at a time, for so long each.
    pub(super) more: Option<Duration>,
}

/// Milliseconds of each answer.
pub(super) type Latencies = BTreeMap<(Question, Way), Vec<f64>>;

/// What was found out about one amount of data.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) points: u64,
    /// Of query-service and SQL in turn.
    pub(super) latencies: Latencies,
    /// The same with the rivals between, where any is asked. What waits for its next turn finds caches that others have used.
    pub(super) beside_rivals: Latencies,
    pub(super) while_pouring: Latencies,
    /// Answers per second with several callers at once, for the first question.
    pub(super) per_second: BTreeMap<Way, f64>,
    /// By how much query-service grew over a million points.
    pub(super) growth_mib: Option<f64>,
}

/// Fills a database, starts what is to be asked, and measures.
pub(super) async fn measure(
    database: &OwnDatabase,
    data: Data,
    plan: Plan,
    scratch: &Path,
) -> anyhow::Result<Figures> {
    step(&format!("storing {} points and materialising their rollups", data.points()));
    load::fill(database, data).await?;
    let rivals = if plan.rivals { start_rivals(data, scratch).await? } else { Vec::new() };
    let service = Service::start(Kind::Query, database.url()).await?;
    let mut ways = Ways::own(&service, database).await?;
    for rival in &rivals {
        ways.add(rival).await?;
    }
    let mut figures = Figures { points: data.points(), ..Figures::default() };
    for question in Question::ALL {
        ways.compare(question, data).await?;
        if question == Question::MillionPoints {
            figures.growth_mib = growth(&mut ways, data, service.memory()).await?;
        }
        let (own, all) = (&Way::OWN[..], ways.all());
        ask_often(&mut ways, own, question, data, plan, &mut figures.latencies).await?;
        if all.len() > own.len() {
            ask_often(&mut ways, &all, question, data, plan, &mut figures.beside_rivals).await?;
        }
    }
    if let Some(length) = plan.more {
        figures.per_second = pressure::eight_callers(&service, database, data, length).await?;
        figures.while_pouring = pressure::while_pouring(&mut ways, database, data, length).await?;
    }
    service.stop().await;
    for rival in rivals {
        rival.stop().await?;
    }
    Ok(figures)
}

/// A warm-up, then the ways in turn; who begins changes from round to round. A way that has taken its time is asked no more.
async fn ask_often(
    ways: &mut Ways,
    all: &[Way],
    question: Question,
    data: Data,
    plan: Plan,
    latencies: &mut Latencies,
) -> anyhow::Result<()> {
    let (repetitions, warm_up) = match question {
        Question::MillionPoints => (plan.millions, 1),
        _ => (plan.repetitions, plan.repetitions / 5),
    };
    let mut warmed_up = Latencies::new();
    for round in 0..warm_up + repetitions {
        let (into, limit) = if round < warm_up {
            (&mut warmed_up, plan.most_time / 5)
        } else {
            (&mut *latencies, plan.most_time)
        };
        for turn in 0..all.len() {
            let at = (turn + round) % all.len();
            let answers = into.entry((question, all[at])).or_default();
            let spent = Duration::from_secs_f64(answers.iter().sum::<f64>() / 1_000.0);
            if spent < limit || answers.len() < plan.millions {
                let asked = question.at(data, round + at * PLACES_APART);
                answers.push(ways.ask(all[at], &asked).await?);
            }
        }
    }
    for &way in all {
        let median = percentile(&latencies[&(question, way)], 0.5);
        step(&format!("{:<24} {:<16} p50 {median:>9.2} ms", question.key(), way.key()));
    }
    Ok(())
}

/// Memory that the service has at most while it answers, beyond what it had before.
async fn growth(
    ways: &mut Ways,
    data: Data,
    memory: Option<Memory>,
) -> anyhow::Result<Option<f64>> {
    let Some(memory) = memory else { return Ok(None) };
    if memory.forget_peak().is_none() {
        return Ok(None);
    }
    let before = memory.now_mib();
    for place in 0..3 {
        ways.ask(Way::Service, &Question::MillionPoints.at(data, place)).await?;
    }
    Ok(memory.peak_mib().zip(before).map(|(peak, before)| peak - before))
}

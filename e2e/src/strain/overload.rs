//! Clients that send more than the service can take. The baseline is one client alone at full
//! speed, which takes the whole capacity.

use std::time::Duration;

use super::callers::Callers;
use super::neighbour::{Neighbour, at_most_doubled, in_ms};
use super::target::Target;
use super::{Attack, Setting};
use crate::faults::Finding;
use crate::faults::journal::Journal;
use crate::faults::load::{Load, Shape};

/// One client at full speed, with one stream per writer.
const FULL_SPEED: Shape =
    Shape { numbered: 2, unnumbered: 0, window: u64::MAX, batch_points: 10_000 };
/// Streams on one connection. The service allows 128.
const STREAMS: usize = 100;
/// Number of concurrent unary callers.
const CALLERS: usize = 64;
/// Limit on memory growth in the second half of an overload, in MiB.
const FLAT: f64 = 32.0;

/// Runs one client with a great many streams of small batches.
pub(super) async fn greedy(
    setting: &Setting,
    target: &Target,
    neighbour: &Neighbour,
    streams: usize,
    span: Duration,
) -> anyhow::Result<Attack> {
    let shape = Shape { numbered: streams, unnumbered: 0, window: 256, batch_points: 1_000 };
    let (journal, _) = under(target, neighbour, &shape, span).await?;
    let finding = Finding::of_totals(&setting.database_url, journal).await?;
    let seen = format!("{streams} streams, {finding}");
    Ok(Attack { expected: "nothing lost".to_owned(), seen, ok: finding.holds() })
}

/// Runs many more clients than the service can take, with streams and with unary calls. Only the
/// service holds them back. The baseline is two streams and one caller, which reach its capacity.
pub(super) async fn run(
    setting: &Setting,
    target: &Target,
    neighbour: &Neighbour,
    span: Duration,
) -> anyhow::Result<Attack> {
    let load = Load::start(&target.url, &FULL_SPEED);
    let callers = Callers::start(&target.url, 1).await?;
    tokio::time::sleep(span / 2).await;
    let (usual, exact_before) = callers.finish(&setting.database_url).await?;
    load.finish().await?;
    let shape = Shape { numbered: 24, unnumbered: 8, window: u64::MAX, batch_points: 10_000 };
    let callers = Callers::start(&target.url, CALLERS).await?;
    let (journal, grown) = under(target, neighbour, &shape, span).await?;
    let (answers, exact) = callers.finish(&setting.database_url).await?;
    let finding = Finding::of_totals(&setting.database_url, journal).await?;
    let in_time = !setting.judge_latency || at_most_doubled(answers.p99(), usual.p99());
    let proper = answers.are_proper() && answers.refused() > 0 && exact && exact_before;
    let seen = format!(
        "{span:?}, {finding}, memory {grown:+.0} MiB in the second half; {}, \
         after p99 {} at full speed, {}",
        answers.told(),
        in_ms(usual.p99()),
        if exact {
            "stored exactly what was accepted"
        } else {
            "NOT stored exactly what was accepted"
        },
    );
    let expected = "streams held up; unary calls refused with RetryInfo, \
                    p99 of the accepted at most doubled; memory flat";
    Ok(Attack {
        expected: expected.to_owned(),
        seen,
        ok: finding.holds() && grown < FLAT && proper && in_time,
    })
}

/// Runs a load for `span`. Returns its journal, and the memory growth in its second half in MiB.
async fn under(
    target: &Target,
    neighbour: &Neighbour,
    shape: &Shape,
    span: Duration,
) -> anyhow::Result<(Journal, f64)> {
    neighbour.begin();
    let mut load = Load::start_sharing(&target.url, shape, STREAMS)?;
    load.progress().await?;
    tokio::time::sleep(span / 2).await;
    let half = target.process.peak_mib();
    tokio::time::sleep(span / 2).await;
    let grown = target.process.peak_mib().zip(half).map_or(0.0, |(whole, half)| whole - half);
    neighbour.close(); // comparing with the database is not part of the overload
    Ok((load.finish().await?, grown))
}

//! Strain by whoever can reach the port, and what it does to the service and to another client beside it.
//!
//! Each case has a service process of its own. Whatever the abuse, the service's memory stays in its bound, nothing panics,
//! the other client's calls go on and it can be called anew afterwards.

mod bombs;
mod callers;
mod calls;
mod floods;
mod frames;
mod lingering;
mod neighbour;
mod overload;
mod shutdown;
mod target;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::MEMORY_BOUND;
use crate::abuse::Outcome;
use neighbour::{Latencies, Neighbour, Usual};
use target::Target;

/// Within which a case must be over.
const PATIENCE: Duration = Duration::from_secs(900);
/// For how long the other client is watched at least, so that its calls go on.
const AT_LEAST: Duration = Duration::from_secs(1);
/// And so that its latencies say something.
const WATCHED: Duration = Duration::from_secs(10);

/// What is done to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strain {
    /// Messages of 5 MiB over the limit.
    MessageOverTheLimit,
    /// Small messages that decompress to as much as 1 GiB.
    DecompressionBomb,
    /// A megabyte of headers, and headers without end.
    HeaderFlood,
    /// Streams that are opened and reset at once, a million of them.
    RapidReset,
    /// 5,000 connections on which nothing happens.
    IdleConnections,
    /// Messages that come byte by byte.
    SlowSenders,
    /// Bytes that mean nothing, with and without a right beginning.
    RandomBytes,
    /// Requests that break off anywhere.
    HalfRequests,
    /// One client with a thousand streams.
    GreedyClient,
    /// More than the service can take, for a while.
    Overload,
    /// SIGTERM with a hundred streams open, ten of them silent.
    Shutdown,
}

impl Strain {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 11] = [
        Self::MessageOverTheLimit,
        Self::DecompressionBomb,
        Self::HeaderFlood,
        Self::RapidReset,
        Self::IdleConnections,
        Self::SlowSenders,
        Self::RandomBytes,
        Self::HalfRequests,
        Self::GreedyClient,
        Self::Overload,
        Self::Shutdown,
    ];

    /// For reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MessageOverTheLimit => "message_over_the_limit",
            Self::DecompressionBomb => "decompression_bomb",
            Self::HeaderFlood => "header_flood",
            Self::RapidReset => "rapid_reset",
            Self::IdleConnections => "idle_connections",
            Self::SlowSenders => "slow_senders",
            Self::RandomBytes => "random_bytes",
            Self::HalfRequests => "half_requests",
            Self::GreedyClient => "greedy_client",
            Self::Overload => "overload",
            Self::Shutdown => "shutdown",
        }
    }
}

/// What is abused, and how much.
#[derive(Clone, Debug)]
pub struct Setting {
    /// A database with the schema in it.
    pub database_url: String,
    /// The program ingest-service.
    pub ingest_service: PathBuf,
    /// A short form: fewer of everything.
    pub quick: bool,
    /// Whether latencies are compared with usual ones; where other work goes on beside, they say nothing.
    pub judge_latency: bool,
}

/// What was seen of the abuse itself.
struct Attack {
    expected: String,
    seen: String,
    ok: bool,
}

impl Setting {
    /// Abuses a service, and tells what came of it.
    ///
    /// # Errors
    /// The abuse could not be brought about.
    pub async fn run(&self, strain: Strain) -> anyhow::Result<Outcome> {
        let told = match strain {
            Strain::Shutdown => tokio::time::timeout(PATIENCE, shutdown::run(self)).await,
            _ => tokio::time::timeout(PATIENCE, self.beside_another(strain)).await,
        };
        let Attack { expected, seen, ok } =
            told.with_context(|| format!("not over after {PATIENCE:?}"))??;
        Ok(Outcome { case: strain.name(), expected, seen, ok })
    }

    async fn beside_another(&self, strain: Strain) -> anyhow::Result<Attack> {
        let target = Target::start(self).await?;
        let neighbour = Neighbour::start(&target.url)?;
        let usual =
            if self.judge_latency { Some(self.usual(strain, &neighbour).await?) } else { None };
        let (mut attack, during) = self.watched(strain, &target, &neighbour).await?;
        neighbour.finish().await?;
        let (state, sound) = target.state().await?;
        attack.seen = format!("{}; {}", attack.seen, during.told());
        attack.ok &= sound && during.all_answered();
        attack.expected += &format!(
            "; no call of another client fails; memory below {MEMORY_BOUND} MiB, 0 panics"
        );
        if let Some(usual) = usual {
            attack.expected += "; another client's p99 at most doubled by sharing the instance";
            attack.seen = format!("{}, {}", attack.seen, usual.told());
            attack.ok &= usual.is_at_most_doubled(&during);
        }
        attack.seen = format!("{}; {state}", attack.seen);
        Ok(attack)
    }

    /// What the other client has alone, and while the same is done to an instance that is not its own.
    async fn usual(&self, strain: Strain, neighbour: &Neighbour) -> anyhow::Result<Usual> {
        let alone = neighbour.alone().await;
        let another = Target::start(self).await?;
        let (_, elsewhere) = self.watched(strain, &another, neighbour).await?;
        Ok(Usual { alone, elsewhere })
    }

    /// Abuses an instance, again and again where latencies are compared, until the other client has made enough calls.
    async fn watched(
        &self,
        strain: Strain,
        target: &Target,
        neighbour: &Neighbour,
    ) -> anyhow::Result<(Attack, Latencies)> {
        let began = Instant::now();
        neighbour.begin();
        let mut attack = self.attack(strain, target, neighbour).await?;
        let mut times = 1;
        while self.judge_latency && attack.ok && began.elapsed() < WATCHED {
            attack = self.attack(strain, target, neighbour).await?;
            times += 1;
        }
        tokio::time::sleep(AT_LEAST.saturating_sub(began.elapsed())).await;
        let noted = neighbour.noted();
        if times > 1 {
            attack.seen = format!("{}, the last of {times} times", attack.seen);
        }
        Ok((attack, noted))
    }

    async fn attack(
        &self,
        strain: Strain,
        target: &Target,
        neighbour: &Neighbour,
    ) -> anyhow::Result<Attack> {
        match strain {
            Strain::MessageOverTheLimit => bombs::over_the_limit(target.address).await,
            Strain::DecompressionBomb => bombs::decompression(target.address).await,
            Strain::HeaderFlood => floods::headers(target.address).await,
            Strain::RapidReset => {
                floods::resets(target.address, self.count(1_000_000, 20_000)).await
            }
            Strain::IdleConnections => {
                lingering::idle(target.address, self.count(5_000, 500)).await
            }
            Strain::SlowSenders => {
                lingering::slow_senders(target.address, self.count(50, 10)).await
            }
            Strain::RandomBytes => {
                lingering::random_bytes(target.address, self.count(1_000, 100)).await
            }
            Strain::HalfRequests => {
                lingering::half_requests(target.address, self.count(1_000, 100)).await
            }
            Strain::GreedyClient => {
                overload::greedy(
                    self,
                    target,
                    neighbour,
                    self.count(1_000, 200),
                    self.seconds(20, 10),
                )
                .await
            }
            Strain::Overload => overload::run(self, target, neighbour, self.seconds(120, 10)).await,
            Strain::Shutdown => unreachable!("has no other client beside it"),
        }
    }

    fn count(&self, whole: usize, quick: usize) -> usize {
        if self.quick { quick } else { whole }
    }

    fn seconds(&self, whole: u64, quick: u64) -> Duration {
        Duration::from_secs(if self.quick { quick } else { whole })
    }
}

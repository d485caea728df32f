//! Strain on a service by any client that can reach its port, and the effect on another client.
//!
//! Each case has a service process of its own. Whatever the abuse, the service's memory stays
//! within its bound and nothing panics. The other client's calls succeed, and new calls succeed
//! afterwards.

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

/// Time limit for a case.
const PATIENCE: Duration = Duration::from_secs(900);
/// Minimum time for which the other client is observed, to see that its calls succeed.
const AT_LEAST: Duration = Duration::from_secs(1);
/// Minimum time for which its latencies are measured.
const WATCHED: Duration = Duration::from_secs(10);

/// A kind of strain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strain {
    /// Messages 5 MiB over the limit.
    MessageOverTheLimit,
    /// Small messages that decompress to as much as 1 GiB.
    DecompressionBomb,
    /// A megabyte of headers, and headers without end.
    HeaderFlood,
    /// A million streams that are opened and immediately reset.
    RapidReset,
    /// 5,000 idle connections.
    IdleConnections,
    /// Messages that arrive byte by byte.
    SlowSenders,
    /// Random bytes, with and without a valid preface.
    RandomBytes,
    /// Requests that break off at various points.
    HalfRequests,
    /// One client with a thousand streams.
    GreedyClient,
    /// More load than the service can take, for some time.
    Overload,
    /// SIGTERM with a hundred open streams, ten of them silent.
    Shutdown,
}

impl Strain {
    /// All kinds, in the order of the report.
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

    /// Returns the name that reports use.
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

/// The service under strain, and the amount of strain.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Address of a database that has the schema.
    pub database_url: String,
    /// Path of the ingest-service binary.
    pub ingest_service: PathBuf,
    /// Whether to run the short form, with smaller numbers.
    pub quick: bool,
    /// Whether to compare latencies with a baseline. They mean nothing while other work runs on the
    /// machine.
    pub judge_latency: bool,
}

/// Result of the strain itself.
struct Attack {
    expected: String,
    seen: String,
    ok: bool,
}

impl Setting {
    /// Strains a service and reports the result.
    ///
    /// # Errors
    /// Fails if the strain could not be applied.
    pub async fn run(&self, strain: Strain) -> anyhow::Result<Outcome> {
        let told = match strain {
            Strain::Shutdown => tokio::time::timeout(PATIENCE, shutdown::run(self)).await,
            _ => tokio::time::timeout(PATIENCE, self.beside_another(strain)).await,
        };
        let Attack { expected, seen, ok } =
            told.with_context(|| format!("the case did not end within {PATIENCE:?}"))??;
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

    /// Measures the other client's latencies without strain, and during the same strain on another
    /// instance.
    async fn usual(&self, strain: Strain, neighbour: &Neighbour) -> anyhow::Result<Usual> {
        let alone = neighbour.alone().await;
        let another = Target::start(self).await?;
        let (_, elsewhere) = self.watched(strain, &another, neighbour).await?;
        Ok(Usual { alone, elsewhere })
    }

    /// Applies the strain. If latencies are compared, repeats it until the other client has made
    /// enough calls.
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
            Strain::Shutdown => unreachable!("runs without another client"),
        }
    }

    fn count(&self, whole: usize, quick: usize) -> usize {
        if self.quick { quick } else { whole }
    }

    fn seconds(&self, whole: u64, quick: u64) -> Duration {
        Duration::from_secs(if self.quick { quick } else { whole })
    }
}

//! Writes the same points to other databases at full speed for the same time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shared::time;

use super::feed::{FeedFormat, Fleet};
use crate::bench::rival::{Rival, RivalServer};
use crate::bench::step;

/// Result of a rival.
pub(super) struct RivalOutcome {
    pub(super) rival: Rival,
    pub(super) series: usize,
    /// Points per second of the whole run.
    pub(super) rate: f64,
    /// Points per second of the last third.
    pub(super) late_rate: f64,
    pub(super) bytes: u64,
}

pub(super) async fn run(
    fleet: Fleet,
    length: Duration,
    scratch: &Path,
) -> anyhow::Result<Vec<RivalOutcome>> {
    let mut outcomes = Vec::new();
    for rival in Rival::ALL.into_iter().filter(|rival| rival.is_installed()) {
        step(&format!("writing {} series to {} for {length:?}", fleet.series, rival.name()));
        let server = RivalServer::start(rival, scratch).await?;
        let began = Instant::now();
        let late = Arc::new(AtomicU64::new(0));
        let late_since = began + length * 2 / 3;
        let counted = Arc::clone(&late);
        let mut templates = fleet.batches(FeedFormat::Lines);
        let mut next = 0;
        let mut points = 0_u64;
        let all = Arc::new(AtomicU64::new(0));
        let total = Arc::clone(&all);
        let bodies = std::iter::from_fn(move || {
            let now = Instant::now();
            if now >= began + length {
                return None;
            }
            let at = next;
            next = (next + 1) % templates.len();
            let template = &mut templates[at];
            points += template.points as u64;
            total.store(points, Ordering::Relaxed);
            if now >= late_since {
                counted.fetch_add(template.points as u64, Ordering::Relaxed);
            }
            Some(template.fill(time::now_micros()))
        });
        let elapsed = server.post_micros(bodies).await?;
        let rate = all.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64();
        let late_length = elapsed.saturating_sub(length * 2 / 3);
        let late_rate = late.load(Ordering::Relaxed) as f64 / late_length.as_secs_f64();
        let bytes = server.bytes()?;
        step(&format!(
            "{:<16} {rate:>12.0} points/s, {late_rate:.0} in the last third",
            rival.name()
        ));
        server.stop().await?;
        outcomes.push(RivalOutcome { rival, series: fleet.series, rate, late_rate, bytes });
    }
    Ok(outcomes)
}

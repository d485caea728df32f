//! Decides up to which time each rollup is read from its table, and what is read after that.
//!
//! The watermark alone is not enough. `refresh_continuous_aggregate` without an end materialises
//! the bucket that is still open and moves the watermark past it. The window of the policy ends
//! before that bucket, so the policy does not refresh it for a while. Points that arrive meanwhile
//! are before the watermark, but not in the table. So a rollup is trusted
//!
//! 1. up to its watermark, but
//! 2. no further than its policy refreshes;
//! 3. after the last successful run of the policy, only up to the first write that the database has
//!    logged since; and
//! 4. after that run, only as far as the next finer rollup is trusted.
//!
//! After that time, the next finer rollup is read up to where that one is trusted, and so on down
//! to the points. The views of the rollups are not read, because they rely on the watermark alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::granularity::Granularity;
use tokio::sync::Mutex;

use crate::read_pool::ReadPool;
use crate::store::{self, Materialised, Source, SourceInterval};

/// How long watermarks are cached. They advance about once a minute. A stale watermark is still
/// correct: everything after it is computed from points.
const CACHE_TTL: Duration = Duration::from_secs(1);

/// The time up to which the table of a rollup is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TrustedRollup {
    rollup: Granularity,
    until: i64,
    table: Arc<str>,
}

/// The cached watermarks, shared by all calls. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watermarks(Arc<Mutex<Option<CachedWatermarks>>>);

#[derive(Clone, Debug)]
struct CachedWatermarks {
    read_at: Instant,
    trusted: Arc<[TrustedRollup]>,
}

impl Watermarks {
    /// Returns the time up to which a rollup is trusted. Returns `None` for raw points and for a
    /// rollup that was never materialised.
    pub(crate) async fn of(
        &self,
        pool: &ReadPool,
        granularity: Granularity,
    ) -> sqlx::Result<Option<i64>> {
        let trusted = self.trusted(pool).await?;
        Ok(trusted
            .iter()
            .find(|trusted| trusted.rollup == granularity)
            .map(|trusted| trusted.until))
    }

    /// Returns the table of a rollup, or `None` if it was never materialised.
    pub(crate) async fn table(
        &self,
        pool: &ReadPool,
        granularity: Granularity,
    ) -> sqlx::Result<Option<Arc<str>>> {
        let trusted = self.trusted(pool).await?;
        let found = trusted.iter().find(|trusted| trusted.rollup == granularity);
        Ok(found.map(|trusted| Arc::clone(&trusted.table)))
    }

    /// Divides an interval into parts by the source that each is read from, earliest first. The
    /// interval must begin and end on edges of the granularity.
    pub(crate) async fn parts(
        &self,
        pool: &ReadPool,
        granularity: Granularity,
        interval: (i64, i64),
    ) -> sqlx::Result<Vec<SourceInterval>> {
        if granularity == Granularity::Raw {
            return Ok(vec![SourceInterval {
                source: Source::Points,
                start: interval.0,
                end: interval.1,
            }]);
        }
        Ok(divide(&self.trusted(pool).await?, granularity, interval))
    }

    async fn trusted(&self, pool: &ReadPool) -> sqlx::Result<Arc<[TrustedRollup]>> {
        let mut cached = self.0.lock().await;
        if let Some(cached) = cached.as_ref().filter(|cached| cached.read_at.elapsed() < CACHE_TTL)
        {
            return Ok(Arc::clone(&cached.trusted));
        }
        let read_at = Instant::now();
        let trusted: Arc<[TrustedRollup]> = trust(store::materialised(pool).await?).into();
        *cached = Some(CachedWatermarks { read_at, trusted: Arc::clone(&trusted) });
        Ok(trusted)
    }
}

/// Decides how far each rollup is trusted, by the rules of this module.
fn trust(mut rollups: Vec<Materialised>) -> Vec<TrustedRollup> {
    rollups.sort_unstable_by_key(|materialised| materialised.rollup);
    let mut trusted: Vec<TrustedRollup> = Vec::new();
    for materialised in rollups {
        let Materialised { rollup, watermark, policy_reaches, known_to, disturbed_from, .. } =
            materialised;
        let below = match rollup {
            Granularity::Minute => i64::MAX,
            _ => trusted.last().map_or(i64::MIN, |below| rollup.floor(below.until)),
        };
        let reached = watermark.min(rollup.floor(policy_reaches));
        let undisturbed = disturbed_from.map_or(i64::MAX, |time| rollup.floor(time));
        let until = reached.min(undisturbed.min(below).max(known_to));
        trusted.push(TrustedRollup { rollup, until, table: materialised.table.into() });
    }
    trusted
}

fn divide(
    trusted: &[TrustedRollup],
    granularity: Granularity,
    (start, end): (i64, i64),
) -> Vec<SourceInterval> {
    let mut parts = Vec::new();
    let mut next = start;
    for TrustedRollup { rollup, until, table } in
        trusted.iter().rev().filter(|trusted| trusted.rollup <= granularity)
    {
        let until = (*until).clamp(next, end);
        let source = Source::Table { rollup: *rollup, name: Arc::clone(table) };
        parts.push(SourceInterval { source, start: next, end: until });
        next = until;
    }
    parts.push(SourceInterval { source: Source::MinutesOfPoints, start: next, end });
    parts.retain(|part| part.start < part.end);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    /// 2026-11-25T10:20:30Z.
    const NOW: i64 = 1_795_602_030_000_000;
    const OPEN_HOUR: i64 = NOW - 20 * MINUTE - 30_000_000;

    /// Returns the state of a rollup whose policy has just run.
    fn kept_up(rollup: Granularity) -> Materialised {
        let width = rollup.bucket_micros().unwrap();
        let watermark = rollup.floor(NOW - width);
        Materialised {
            rollup,
            watermark,
            table: rollup.name().to_owned(),
            policy_reaches: NOW - width,
            known_to: watermark,
            disturbed_from: None,
        }
    }

    fn until(rollups: Vec<Materialised>) -> Vec<i64> {
        trust(rollups).into_iter().map(|trusted| trusted.until).collect()
    }

    #[test]
    fn rollups_with_running_policies_are_trusted_up_to_their_watermarks() {
        let rollups = Granularity::ROLLUPS.map(kept_up).to_vec();
        let watermarks: Vec<i64> =
            rollups.iter().map(|materialised| materialised.watermark).collect();
        assert_eq!(until(rollups), watermarks);
    }

    #[test]
    fn a_watermark_behind_an_open_bucket_is_not_trusted() {
        let [minutes, hours, days] = Granularity::ROLLUPS.map(kept_up);
        let expected = [minutes.watermark, hours.watermark, days.watermark];
        let open_minutes = Materialised { watermark: Granularity::Minute.ceil(NOW), ..minutes };
        let open_hours = Materialised { watermark: OPEN_HOUR + HOUR, ..hours };
        let open_days = Materialised { watermark: Granularity::Day.ceil(NOW), ..days };
        assert_eq!(until(vec![open_days, open_minutes, open_hours]), expected);
    }

    #[test]
    fn a_bucket_that_was_materialised_open_is_trusted_once_the_policy_has_refreshed_it() {
        // 100 minutes later. The hour was materialised at 10:20, and points arrived until its end.
        let [minutes, hours, _] = Granularity::ROLLUPS.map(kept_up);
        let later = NOW + 100 * MINUTE;
        let minutes = Materialised {
            watermark: Granularity::Minute.floor(later - MINUTE),
            policy_reaches: later - MINUTE,
            known_to: Granularity::Minute.floor(later - MINUTE),
            ..minutes
        };
        let written = Materialised {
            watermark: OPEN_HOUR + HOUR,
            policy_reaches: later - HOUR,
            known_to: OPEN_HOUR - HOUR,
            disturbed_from: Some(OPEN_HOUR + 21 * MINUTE),
            ..hours
        };
        assert_eq!(until(vec![minutes.clone(), written.clone()])[1], OPEN_HOUR);
        let refreshed =
            Materialised { known_to: OPEN_HOUR + HOUR, disturbed_from: None, ..written.clone() };
        assert_eq!(until(vec![minutes.clone(), refreshed])[1], OPEN_HOUR + HOUR);
        let undisturbed = Materialised { disturbed_from: None, ..written };
        assert_eq!(
            until(vec![minutes.clone(), undisturbed.clone()])[1],
            OPEN_HOUR + HOUR,
            "refreshed by hand within bounds"
        );
        let behind =
            Materialised { watermark: OPEN_HOUR + 19 * MINUTE, known_to: OPEN_HOUR, ..minutes };
        assert_eq!(
            until(vec![behind, undisturbed])[1],
            OPEN_HOUR,
            "its minutes are not materialised yet"
        );
    }

    #[test]
    fn everything_before_the_last_successful_run_is_trusted() {
        let [minutes, ..] = Granularity::ROLLUPS.map(kept_up);
        let late = Materialised { disturbed_from: Some(NOW - DAY), ..minutes.clone() };
        assert_eq!(until(vec![late]), [minutes.watermark]);
    }

    #[test]
    fn parts_meet_and_lead_down_to_the_points() {
        let trusted = trust(Granularity::ROLLUPS.map(kept_up).to_vec());
        let start = Granularity::Day.floor(NOW) - 3 * DAY;
        let end = Granularity::Day.ceil(NOW);
        let parts = divide(&trusted, Granularity::Day, (start, end));
        let sources: Vec<&Source> = parts.iter().map(|part| &part.source).collect();
        let table = |rollup: Granularity| Source::Table { rollup, name: rollup.name().into() };
        let [minutes, hours, days] = Granularity::ROLLUPS.map(table);
        assert_eq!(sources, [&days, &hours, &minutes, &Source::MinutesOfPoints]);
        assert_eq!((parts[0].start, parts[3].end), (start, end));
        assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start), "{parts:?}");
        let old = divide(&trusted, Granularity::Minute, (start, start + HOUR));
        assert_eq!(old, [SourceInterval { source: minutes, start, end: start + HOUR }]);
        let never = divide(&[], Granularity::Hour, (start, end));
        assert_eq!(never, [SourceInterval { source: Source::MinutesOfPoints, start, end }]);
    }
}

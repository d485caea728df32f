//! Finds the days that a rollup does not cover and that no refresh will return to. They contain
//! points that were stored too late for the refresh window, or that a refresh job missed for as
//! long.
//!
//! The buckets of these days are computed from the finest relation that has all of them. Whole days
//! are listed instead of buckets to keep the list short. Computing a bucket that the rollup does
//! cover gives the same result.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::granularity::Granularity;
use shared::time;
use tokio::sync::Mutex;

use crate::plan::Segment;
use crate::read_pool::ReadPool;
use crate::store::{self, Source, SourceInterval, UncoveredDays};

/// How long the list is cached: the time after which a point that was stored this late is visible.
const CACHE_TTL: Duration = Duration::from_secs(1);

/// The cached list, shared by all calls. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct UncoveredCache(Arc<Mutex<Option<CachedDays>>>);

#[derive(Clone, Debug)]
struct CachedDays {
    read_at: Instant,
    days: Arc<[UncoveredDays]>,
}

impl UncoveredCache {
    /// Returns the days that rollups do not cover, by rollup. Days that are computed from a finer
    /// relation come first.
    pub(crate) async fn days(&self, pool: &ReadPool) -> sqlx::Result<Arc<[UncoveredDays]>> {
        let mut cached = self.0.lock().await;
        if let Some(cached) = cached.as_ref().filter(|cached| cached.read_at.elapsed() < CACHE_TTL)
        {
            return Ok(Arc::clone(&cached.days));
        }
        let read_at = Instant::now();
        let days: Arc<[UncoveredDays]> = store::uncovered(pool).await?.into();
        *cached = Some(CachedDays { read_at, days: Arc::clone(&days) });
        Ok(days)
    }
}

/// Replaces the days that the table of a rollup does not cover by finer sources. `table` returns
/// the name of the table of a rollup.
pub(crate) fn replace_uncovered(
    parts: Vec<SourceInterval>,
    days: &[UncoveredDays],
    table: impl Fn(Granularity) -> Option<Arc<str>>,
) -> Vec<SourceInterval> {
    if days.is_empty() {
        return parts;
    }
    parts.into_iter().flat_map(|part| replace_in_part(part, days, &table)).collect()
}

fn replace_in_part(
    part: SourceInterval,
    days: &[UncoveredDays],
    table: &impl Fn(Granularity) -> Option<Arc<str>>,
) -> Vec<SourceInterval> {
    let Source::Table { rollup, .. } = part.source else { return vec![part] };
    let mut computed = Vec::new();
    let mut held = vec![(part.start, part.end)];
    for missing in days.iter().filter(|days| days.rollup == rollup) {
        let Some(source) = source(missing.from, table) else { continue };
        let mut still_held = Vec::new();
        for (start, end) in held {
            let from = missing.start.clamp(start, end);
            let until = missing.end.clamp(start, end);
            if from < until {
                computed.push(SourceInterval { source: source.clone(), start: from, end: until });
                still_held.extend([(start, from), (until, end)]);
            } else {
                still_held.push((start, end));
            }
        }
        held = still_held;
    }
    let held = held.into_iter().map(|(start, end)| SourceInterval {
        source: part.source.clone(),
        start,
        end,
    });
    let mut parts: Vec<SourceInterval> =
        computed.into_iter().chain(held).filter(|part| part.start < part.end).collect();
    parts.sort_unstable_by_key(|part| part.start);
    parts
}

fn source(from: Granularity, table: &impl Fn(Granularity) -> Option<Arc<str>>) -> Option<Source> {
    match from {
        Granularity::Raw => Some(Source::MinutesOfPoints),
        rollup => Some(Source::Table { rollup, name: table(rollup)? }),
    }
}

/// Describes the days of an answer that the planned rollups do not cover. Returns `None` if they
/// cover all of it.
pub(crate) fn note(segments: &[Segment], days: &[UncoveredDays]) -> Option<String> {
    let notes = segments.iter().filter_map(|segment| {
        let within = |days: &&UncoveredDays| {
            days.rollup == segment.source && days.start < segment.end && days.end > segment.start
        };
        let start = days.iter().filter(within).map(|days| days.start).min()?.max(segment.start);
        let end = days.iter().filter(within).map(|days| days.end).max()?.min(segment.end);
        let relation = segment.source.relation();
        let start = time::display(start);
        let end = time::display(end);
        Some(format!(
            "; {relation} does not cover all days from {start} to {end}: \
             the missing days are computed from finer data"
        ))
    });
    Some(notes.collect::<String>()).filter(|notes| !notes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Grid;

    const DAY: i64 = 86_400_000_000;

    fn table(rollup: Granularity) -> Option<Arc<str>> {
        Some(rollup.name().into())
    }

    fn held(rollup: Granularity, start: i64, end: i64) -> SourceInterval {
        let name = rollup.name().into();
        SourceInterval {
            source: Source::Table { rollup, name },
            start: start * DAY,
            end: end * DAY,
        }
    }

    fn computed(start: i64, end: i64) -> SourceInterval {
        SourceInterval { source: Source::MinutesOfPoints, start: start * DAY, end: end * DAY }
    }

    fn missing(rollup: Granularity, from: Granularity, start: i64, end: i64) -> UncoveredDays {
        UncoveredDays { rollup, from, start: start * DAY, end: end * DAY }
    }

    #[test]
    fn only_the_days_that_a_rollup_does_not_cover_are_computed() {
        let days = [
            missing(Granularity::Hour, Granularity::Raw, 2, 4),
            missing(Granularity::Hour, Granularity::Raw, 6, 20),
            missing(Granularity::Day, Granularity::Raw, 0, 9),
        ];
        let parts =
            replace_uncovered(vec![held(Granularity::Hour, 0, 10), computed(10, 11)], &days, table);
        let wanted = [
            held(Granularity::Hour, 0, 2),
            computed(2, 4),
            held(Granularity::Hour, 4, 6),
            computed(6, 10),
            computed(10, 11),
        ];
        assert_eq!(parts, wanted);
    }

    #[test]
    fn a_day_is_computed_from_the_finest_relation_that_has_it() {
        let days = [
            missing(Granularity::Day, Granularity::Raw, 3, 5),
            missing(Granularity::Day, Granularity::Minute, 1, 6),
        ];
        let parts = replace_uncovered(vec![held(Granularity::Day, 0, 8)], &days, table);
        let wanted = [
            held(Granularity::Day, 0, 1),
            held(Granularity::Minute, 1, 3),
            computed(3, 5),
            held(Granularity::Minute, 5, 6),
            held(Granularity::Day, 6, 8),
        ];
        assert_eq!(parts, wanted);
    }

    #[test]
    fn an_answer_names_the_days_that_are_computed() {
        let days = [
            missing(Granularity::Hour, Granularity::Raw, 2, 4),
            missing(Granularity::Hour, Granularity::Raw, 6, 20),
        ];
        let segment = |source: Granularity, start: i64, end: i64| Segment {
            source,
            grid: Grid::of(source),
            start: start * DAY,
            end: end * DAY,
        };
        assert_eq!(
            note(&[segment(Granularity::Hour, 4, 6), segment(Granularity::Minute, 0, 30)], &days),
            None
        );
        assert_eq!(
            note(&[segment(Granularity::Hour, 3, 9)], &days).unwrap(),
            "; points_1hour does not cover all days from 1970-01-04T00:00:00Z to \
             1970-01-10T00:00:00Z: the missing days are computed from finer data"
        );
    }
}

//! Cached facts about points and rollups, so that calls need not query them: how far back retention
//! reaches, up to where each rollup is materialised, and which days a rollup does not cover.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::granularity::Granularity;
use tokio::sync::Mutex;

use crate::plan::{DayOfPoints, Retention};
use crate::read_pool::ReadPool;
use crate::store::{self, SourceInterval, UncoveredDays};
use crate::uncovered::{self, UncoveredCache};
use crate::watermarks::Watermarks;

/// How long the retention policies are cached.
const POLICIES_TTL: Duration = Duration::from_secs(60);
/// How long the list of compacted chunks is cached.
const COMPACTED_TTL: Duration = Duration::from_secs(60);

/// The cached facts, shared by all calls. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Relations {
    /// The retention policy of each relation that has one.
    policies: Arc<Mutex<Option<CachedPolicies>>>,
    watermarks: Watermarks,
    uncovered: UncoveredCache,
    compacted: Arc<Mutex<Option<CachedChunks>>>,
}

#[derive(Clone, Debug)]
struct CachedPolicies {
    read_at: Instant,
    /// The maximum age of data in microseconds, by relation.
    oldest: Vec<(String, i64)>,
}

#[derive(Clone, Debug)]
struct CachedChunks {
    read_at: Instant,
    /// [start, end) of each compacted chunk, in microseconds.
    chunks: Arc<[(i64, i64)]>,
}

impl Relations {
    /// Returns the time from which retention keeps each granularity, as of `now`.
    pub(crate) async fn retention(&self, pool: &ReadPool, now: i64) -> sqlx::Result<Retention> {
        let mut cached = self.policies.lock().await;
        if cached.as_ref().is_none_or(|policies| policies.read_at.elapsed() > POLICIES_TTL) {
            *cached = Some(CachedPolicies {
                read_at: Instant::now(),
                oldest: store::retention(pool).await?,
            });
        }
        let from = |granularity: Granularity| {
            let mut oldest = cached.iter().flat_map(|policies| &policies.oldest);
            let policy = oldest.find(|(relation, _)| relation == granularity.relation());
            policy.map(|(_, age)| now.saturating_sub(*age))
        };
        Ok(Retention {
            points: from(Granularity::Raw),
            minutes: from(Granularity::Minute),
            hours: from(Granularity::Hour),
            days: from(Granularity::Day),
        })
    }

    /// Returns the time up to which a rollup is known to be materialised. Returns `None` for raw
    /// points and for a rollup that was never materialised.
    pub(crate) async fn watermark(
        &self,
        pool: &ReadPool,
        granularity: Granularity,
    ) -> sqlx::Result<Option<i64>> {
        self.watermarks.of(pool, granularity).await
    }

    /// Divides an interval into parts by the source that each is read from, earliest first. The
    /// interval must begin and end on edges of the granularity.
    pub(crate) async fn parts(
        &self,
        pool: &ReadPool,
        granularity: Granularity,
        interval: (i64, i64),
    ) -> sqlx::Result<Vec<SourceInterval>> {
        let parts = self.watermarks.parts(pool, granularity, interval).await?;
        let days = self.uncovered.days(pool).await?;
        if days.is_empty() {
            return Ok(parts);
        }
        let minutes = self.watermarks.table(pool, Granularity::Minute).await?;
        let hours = self.watermarks.table(pool, Granularity::Hour).await?;
        let table = |rollup: Granularity| {
            if rollup == Granularity::Hour { hours.clone() } else { minutes.clone() }
        };
        Ok(uncovered::replace_uncovered(parts, &days, table))
    }

    /// Returns the days that rollups do not cover and that are computed from finer data.
    pub(crate) async fn uncovered(&self, pool: &ReadPool) -> sqlx::Result<Arc<[UncoveredDays]>> {
        self.uncovered.days(pool).await
    }

    /// Counts the points of some series by day, from the hourly rollup. Returns an empty list if no
    /// hours are materialised.
    pub(crate) async fn days_of_points(
        &self,
        pool: &ReadPool,
        series: &[i32],
        interval: (i64, i64),
    ) -> sqlx::Result<Vec<DayOfPoints>> {
        let Some(hours) = self.watermarks.table(pool, Granularity::Hour).await? else {
            return Ok(Vec::new());
        };
        let compacted = self.compacted(pool).await?;
        store::days_of_points(pool, &hours, series, interval, &compacted).await
    }

    async fn compacted(&self, pool: &ReadPool) -> sqlx::Result<Arc<[(i64, i64)]>> {
        let mut cached = self.compacted.lock().await;
        if let Some(compacted) =
            cached.as_ref().filter(|compacted| compacted.read_at.elapsed() < COMPACTED_TTL)
        {
            return Ok(Arc::clone(&compacted.chunks));
        }
        let read_at = Instant::now();
        let chunks: Arc<[(i64, i64)]> = store::compacted_chunks(pool).await?.into();
        *cached = Some(CachedChunks { read_at, chunks: Arc::clone(&chunks) });
        Ok(chunks)
    }
}

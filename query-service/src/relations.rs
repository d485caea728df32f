//! What is known of points and rollups as a whole, so that a call need not ask for it: what retention still holds, up to
//! where each rollup is materialised, and where what is materialised lies.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::granularity::Granularity;
use tokio::sync::Mutex;

use crate::plan::{Grid, Kept};
use crate::read_pool::ReadPool;
use crate::store;

/// How long policies are remembered.
const POLICIES_FRESH: Duration = Duration::from_secs(60);
/// How long watermarks are remembered. They move on about once a minute, and an older one is no wrong one: beyond it, buckets
/// are told to be live that no longer are.
const WATERMARK_FRESH: Duration = Duration::from_secs(1);

/// Remembers it for all calls; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Relations {
    /// How old what each relation keeps may become.
    policies: Arc<Mutex<Option<Policies>>>,
    rollups: Arc<Mutex<HashMap<Granularity, Rollup>>>,
}

#[derive(Clone, Debug)]
struct Policies {
    read: Instant,
    /// By relation, in microseconds.
    oldest: Vec<(String, i64)>,
}

#[derive(Clone, Debug)]
struct Rollup {
    read: Instant,
    /// None for one that never was materialised.
    materialised: Option<Materialised>,
}

/// The part of a rollup that is materialised.
#[derive(Clone, Debug)]
struct Materialised {
    watermark: i64,
    table: Arc<str>,
}

/// A part of an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// What it is read from.
    pub(crate) relation: Arc<str>,
    /// [start, end) in microseconds.
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl Relations {
    /// From when on each granularity is kept.
    pub(crate) async fn kept(&self, pool: &ReadPool, now: i64) -> sqlx::Result<Kept> {
        let mut known = self.policies.lock().await;
        if known.as_ref().is_none_or(|policies| policies.read.elapsed() > POLICIES_FRESH) {
            *known = Some(Policies { read: Instant::now(), oldest: store::retention(pool).await? });
        }
        let from = |granularity: Granularity| {
            let mut oldest = known.iter().flat_map(|policies| &policies.oldest);
            let policy = oldest.find(|(relation, _)| relation == granularity.relation());
            policy.map(|(_, age)| now.saturating_sub(*age))
        };
        Ok(Kept {
            points: from(Granularity::Raw),
            minutes: from(Granularity::Minute),
            hours: from(Granularity::Hour),
            days: from(Granularity::Day),
        })
    }

    /// Up to where a rollup is materialised; none for raw points and for a rollup that never was.
    pub(crate) async fn watermark(&self, pool: &ReadPool, granularity: Granularity) -> sqlx::Result<Option<i64>> {
        Ok(self.materialised(pool, granularity).await?.map(|materialised| materialised.watermark))
    }

    /// What an interval on edges of a grid is read from, the earliest first: the table of what is materialised, and from the last
    /// edge before the watermark on the relation itself. That is a view of both, whose live part takes time also where it has
    /// nothing to tell.
    pub(crate) async fn parts(
        &self,
        pool: &ReadPool,
        granularity: Granularity,
        grid: &Grid,
        (start, end): (i64, i64),
    ) -> sqlx::Result<Vec<Stored>> {
        let materialised = self.materialised(pool, granularity).await?;
        let edge = |materialised: &Materialised| grid.floor(materialised.watermark).clamp(start, end);
        let live_from = materialised.as_ref().map_or(start, edge);
        let live = Stored { relation: granularity.relation().into(), start: live_from, end };
        let before = materialised.map(|Materialised { table, .. }| Stored { relation: table, start, end: live_from });
        Ok(before.into_iter().chain([live]).filter(|part| part.start < part.end).collect())
    }

    async fn materialised(&self, pool: &ReadPool, granularity: Granularity) -> sqlx::Result<Option<Materialised>> {
        if granularity == Granularity::Raw {
            return Ok(None);
        }
        let mut known = self.rollups.lock().await;
        if let Some(rollup) = known.get(&granularity).filter(|rollup| rollup.read.elapsed() < WATERMARK_FRESH) {
            return Ok(rollup.materialised.clone());
        }
        let read = Instant::now();
        let found = store::materialised(pool, granularity).await?;
        let materialised = found.map(|(watermark, table)| Materialised { watermark, table: table.into() });
        known.insert(granularity, Rollup { read, materialised: materialised.clone() });
        Ok(materialised)
    }
}

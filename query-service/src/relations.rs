//! What is known of points and rollups as a whole, so that a call need not ask for it: what retention still holds, and up to
//! where each rollup is materialised.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::granularity::Granularity;
use tokio::sync::Mutex;

use crate::plan::Kept;
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
    watermarks: Arc<Mutex<HashMap<Granularity, Watermark>>>,
}

#[derive(Clone, Debug)]
struct Policies {
    read: Instant,
    /// By relation, in microseconds.
    oldest: Vec<(String, i64)>,
}

#[derive(Clone, Copy, Debug)]
struct Watermark {
    read: Instant,
    found: Option<i64>,
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
        if granularity == Granularity::Raw {
            return Ok(None);
        }
        let mut known = self.watermarks.lock().await;
        if let Some(watermark) = known.get(&granularity).filter(|watermark| watermark.read.elapsed() < WATERMARK_FRESH)
        {
            return Ok(watermark.found);
        }
        let watermark = Watermark { read: Instant::now(), found: store::watermark(pool, granularity).await? };
        known.insert(granularity, watermark);
        Ok(watermark.found)
    }
}

//! What retention still holds: the policies, read again every minute.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::granularity::Granularity;
use tokio::sync::Mutex;

use crate::plan::Kept;
use crate::read_pool::ReadPool;
use crate::store;

/// How long policies are remembered.
const FRESH: Duration = Duration::from_secs(60);

/// Remembers how old what each relation keeps may become.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retention(Arc<Mutex<Option<Policies>>>);

#[derive(Clone, Debug)]
struct Policies {
    read: Instant,
    oldest: Vec<(String, i64)>,
}

impl Retention {
    /// From when on each granularity is kept.
    pub(crate) async fn kept(&self, pool: &ReadPool, now: i64) -> sqlx::Result<Kept> {
        let mut known = self.0.lock().await;
        if known.as_ref().is_none_or(|policies| policies.read.elapsed() > FRESH) {
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
}

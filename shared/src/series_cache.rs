//! Ids of known series, by a hash of 128 bits in place of the names: a few dozen bytes a series, whatever its names.
//!
//! The hash is keyed at random, so that nobody can make two names collide; by chance, two of a million series do with a
//! probability of about 1e-27.

use std::hash::Hasher as _;

use quick_cache::sync::Cache;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// Bounded; forgets what was not asked for in a while.
pub struct SeriesCache {
    ids: Cache<u128, i32>,
    hasher: SipHasher13,
}

impl SeriesCache {
    /// For so many series.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let hasher = SipHasher13::new_with_keys(rand::random(), rand::random());
        Self { ids: Cache::new(capacity), hasher }
    }

    /// The id of a series, where it is known.
    #[must_use]
    pub fn get(&self, device_id: &str, metric_name: &str) -> Option<i32> {
        self.ids.get(&self.hash(device_id, metric_name))
    }

    /// Remembers a series.
    pub fn insert(&self, device_id: &str, metric_name: &str, id: i32) {
        self.ids.insert(self.hash(device_id, metric_name), id);
    }

    /// How many are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn hash(&self, device_id: &str, metric_name: &str) -> u128 {
        const SEPARATOR: u8 = 0xff; // no byte of UTF-8
        let mut hasher = self.hasher;
        hasher.write(device_id.as_bytes());
        hasher.write_u8(SEPARATOR);
        hasher.write(metric_name.as_bytes());
        hasher.finish128().as_u128()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_also_at_their_border() {
        let cache = SeriesCache::new(10);
        cache.insert("ab", "c", 1);
        cache.insert("a", "bc", 2);
        assert_eq!((cache.get("ab", "c"), cache.get("a", "bc")), (Some(1), Some(2)));
        assert_eq!(cache.get("abc", ""), None);
    }
}

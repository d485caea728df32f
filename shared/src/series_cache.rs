//! A cache of series ids, keyed by a 128-bit hash of their names. An entry takes a few dozen bytes,
//! whatever the length of the names.
//!
//! The hash has a random key, so that nobody can construct colliding names. The probability of any
//! accidental collision among a million series is about 1e-27.

use std::hash::Hasher as _;

use quick_cache::sync::Cache;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// A bounded cache of series ids. Evicts entries that have not been used for a while.
pub struct SeriesCache {
    ids: Cache<u128, i32>,
    hasher: SipHasher13,
}

impl SeriesCache {
    /// Creates a cache for at most `capacity` series.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let hasher = SipHasher13::new_with_keys(rand::random(), rand::random());
        Self { ids: Cache::new(capacity), hasher }
    }

    /// Returns the id of a series if it is in the cache.
    #[must_use]
    pub fn get(&self, device_id: &str, metric_name: &str) -> Option<i32> {
        self.ids.get(&self.hash(device_id, metric_name))
    }

    /// Adds a series to the cache.
    pub fn insert(&self, device_id: &str, metric_name: &str, id: i32) {
        self.ids.insert(self.hash(device_id, metric_name), id);
    }

    /// Returns the number of series in the cache.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns whether the cache is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn hash(&self, device_id: &str, metric_name: &str) -> u128 {
        const SEPARATOR: u8 = 0xff; // never occurs in UTF-8
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

//! The position of a subscription, and the token that encodes it. Pure.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use siphasher::sip::SipHasher13;

use super::MAX_LATENESS;
use crate::error::QueryError;
use crate::store::WatchedPoint;

/// The maximum number of reported anomalies that a subscription remembers: 0.3 MiB.
const MAX_REPORTED: usize = 20_000;
/// The maximum number of reported anomalies in a token: 21 KiB of text.
const MAX_REPORTED_IN_TOKEN: usize = 1_000;
/// How long after its last message a subscription can be resumed, in microseconds. Late points may
/// add [`MAX_LATENESS`].
const MAX_MISSED: i64 = 24 * 3_600_000_000;
/// The version of the token's format.
const VERSION: u8 = 1;

/// The position of a subscription in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WatchPosition {
    /// The time, in microseconds, before which points are not read any more.
    floor: i64,
    /// The anomalies since `floor` that were reported: the timestamp, and a hash of series and
    /// value.
    reported: BTreeSet<(i64, u64)>,
}

impl WatchPosition {
    /// Returns the position of a subscription that begins now.
    pub(crate) fn new(now: i64) -> Self {
        Self { floor: now - MAX_LATENESS, reported: BTreeSet::new() }
    }

    pub(super) fn floor(&self) -> i64 {
        self.floor
    }

    /// Marks an anomaly as reported. Returns whether it is new and not older than `floor`. Beyond
    /// [`MAX_REPORTED`] anomalies, forgets the oldest and raises `floor` past it.
    pub(super) fn mark_reported(&mut self, point: &WatchedPoint) -> bool {
        if point.point.timestamp < self.floor || !self.reported.insert(key(point)) {
            return false;
        }
        if self.reported.len() > MAX_REPORTED
            && let Some((forgotten, _)) = self.reported.pop_first()
        {
            self.advance(forgotten + 1);
        }
        true
    }

    pub(super) fn is_reported(&self, point: &WatchedPoint) -> bool {
        self.reported.contains(&key(point))
    }

    /// Raises `floor` to this time and forgets what was reported before it. Never lowers it.
    pub(super) fn advance(&mut self, floor: i64) {
        if floor > self.floor {
            self.floor = floor;
            self.reported = self.reported.split_off(&(floor, 0));
        }
    }

    /// Returns the token of this position, bound to a request. If there are more reported anomalies
    /// than fit, the oldest are left out, and will be reported again.
    pub(crate) fn token(&self, fingerprint: u64) -> String {
        let reported = self.reported.iter().rev().take(MAX_REPORTED_IN_TOKEN);
        let mut bytes = vec![VERSION];
        bytes.extend(fingerprint.to_le_bytes());
        bytes.extend(self.floor.to_le_bytes());
        bytes.extend(
            reported
                .flat_map(|(timestamp, tag)| [timestamp.to_le_bytes(), tag.to_le_bytes()])
                .flatten(),
        );
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Decodes a token.
    ///
    /// # Errors
    /// Returns `Invalid` if the token is malformed, belongs to another request, or is too old.
    pub(crate) fn of_token(token: &str, fingerprint: u64, now: i64) -> Result<Self, QueryError> {
        let refused = |description: &str| QueryError::invalid("resume_token", description);
        let foreign =
            || refused("was not issued by this service: use the last resume_token of an answer");
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| foreign())?;
        let (&[VERSION], words) = bytes.split_first_chunk::<1>().ok_or_else(foreign)? else {
            return Err(foreign());
        };
        let (words, []) = words.as_chunks::<8>() else { return Err(foreign()) };
        let [found, floor, reported @ ..] = words else { return Err(foreign()) };
        let (reported, []) = reported.as_chunks::<2>() else { return Err(foreign()) };
        if u64::from_le_bytes(*found) != fingerprint {
            return Err(refused(
                "belongs to another subscription: repeat the request that returned it",
            ));
        }
        let floor = i64::from_le_bytes(*floor);
        if floor > now || reported.len() > MAX_REPORTED_IN_TOKEN {
            return Err(foreign());
        }
        if floor < now - MAX_LATENESS - MAX_MISSED {
            return Err(refused(
                "is more than 24 hours old: subscribe without it, \
                 and query the time since then with DetectAnomalies",
            ));
        }
        let reported = reported
            .iter()
            .map(|[timestamp, tag]| (i64::from_le_bytes(*timestamp), u64::from_le_bytes(*tag)));
        Ok(Self { floor, reported: reported.collect() })
    }
}

/// Returns the timestamp, and a hash of series and value. Two points of one timestamp have the same
/// hash with a probability of 1 in 10^19.
fn key(WatchedPoint { point, series_id }: &WatchedPoint) -> (i64, u64) {
    let [a, b, c, d] = series_id.to_le_bytes();
    let [e, f, g, h, i, j, k, l] = point.value.to_bits().to_le_bytes();
    (point.timestamp, SipHasher13::new().hash(&[a, b, c, d, e, f, g, h, i, j, k, l]))
}

#[cfg(test)]
mod tests;

//! How far a subscription has come, and the token that says so. Pure.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use siphasher::sip::SipHasher13;

use super::LOOK_BACK;
use crate::error::QueryError;
use crate::store::WatchedPoint;

/// Most anomalies that a subscription remembers to have told: 0.3 MiB.
const MAX_TOLD: usize = 20_000;
/// Most of them in a token: 21 KiB of text.
const MAX_TOLD_IN_TOKEN: usize = 1_000;
/// What a subscription may have missed and still resume, in microseconds; its points are read again.
const MAX_MISSED: i64 = 24 * 3_600_000_000;
/// Of the token's form.
const VERSION: u8 = 1;

/// How far a subscription has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// What is older is not looked at.
    floor: i64,
    /// What was told of the times since then: timestamp, and what tells it from others of that timestamp.
    told: BTreeSet<(i64, u64)>,
}

impl Position {
    /// Of a subscription that begins now.
    pub(crate) fn new(now: i64) -> Self {
        Self { floor: now - LOOK_BACK, told: BTreeSet::new() }
    }

    pub(super) fn floor(&self) -> i64 {
        self.floor
    }

    /// Whether it had not been told yet; from now on it is. Of more than can be remembered the oldest are forgotten, and
    /// times that old are not looked at again.
    pub(super) fn tell(&mut self, point: &WatchedPoint) -> bool {
        if point.point.timestamp < self.floor || !self.told.insert(key(point)) {
            return false;
        }
        if self.told.len() > MAX_TOLD
            && let Some((forgotten, _)) = self.told.pop_first()
        {
            self.advance(forgotten + 1);
        }
        true
    }

    pub(super) fn was_told(&self, point: &WatchedPoint) -> bool {
        self.told.contains(&key(point))
    }

    /// All before this time has been looked at for the last time.
    pub(super) fn advance(&mut self, floor: i64) {
        if floor > self.floor {
            self.floor = floor;
            self.told = self.told.split_off(&(floor, 0));
        }
    }

    /// The token of this position, for this question. Of more than fit into it the oldest are left out, to be told again.
    pub(crate) fn token(&self, question: u64) -> String {
        let told = self.told.iter().rev().take(MAX_TOLD_IN_TOKEN);
        let mut bytes = vec![VERSION];
        bytes.extend(question.to_le_bytes());
        bytes.extend(self.floor.to_le_bytes());
        bytes.extend(
            told.flat_map(|(timestamp, tag)| [timestamp.to_le_bytes(), tag.to_le_bytes()])
                .flatten(),
        );
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position that a token stands for.
    pub(crate) fn of_token(token: &str, question: u64, now: i64) -> Result<Self, QueryError> {
        let refused = |sentence: &str| QueryError::invalid("resume_token", sentence);
        let foreign = || refused("is not a token of this service");
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| foreign())?;
        let (&[VERSION], words) = bytes.split_first_chunk::<1>().ok_or_else(foreign)? else {
            return Err(foreign());
        };
        let (words, []) = words.as_chunks::<8>() else { return Err(foreign()) };
        let [asked, floor, told @ ..] = words else { return Err(foreign()) };
        let (told, []) = told.as_chunks::<2>() else { return Err(foreign()) };
        if u64::from_le_bytes(*asked) != question {
            return Err(refused(
                "belongs to another subscription: repeat the request that returned it",
            ));
        }
        let floor = i64::from_le_bytes(*floor);
        if floor > now || told.len() > MAX_TOLD_IN_TOKEN {
            return Err(foreign());
        }
        if floor < now - LOOK_BACK - MAX_MISSED {
            return Err(refused(
                "is more than 24 hours old: ask DetectAnomalies for the time since, and subscribe anew",
            ));
        }
        let told = told
            .iter()
            .map(|[timestamp, tag]| (i64::from_le_bytes(*timestamp), u64::from_le_bytes(*tag)));
        Ok(Self { floor, told: told.collect() })
    }
}

/// The series and the value in 64 bits: among the points of one timestamp, one in 10^19 pairs is taken for the same.
fn key(WatchedPoint { point, series_id }: &WatchedPoint) -> (i64, u64) {
    let [a, b, c, d] = series_id.to_le_bytes();
    let [e, f, g, h, i, j, k, l] = point.value.to_bits().to_le_bytes();
    (point.timestamp, SipHasher13::new().hash(&[a, b, c, d, e, f, g, h, i, j, k, l]))
}

#[cfg(test)]
mod tests;

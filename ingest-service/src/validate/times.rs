//! Between which times points are accepted.

use std::time::Duration;

use shared::proto::v1::RejectionReason as Reason;
use shared::time;

use super::Refusal;
use crate::config::Limits;

/// The accepted times of one batch.
pub(super) struct AcceptedTimes {
    oldest: i64,
    latest: i64,
    back: Duration,
    ahead: Duration,
}

impl AcceptedTimes {
    pub(super) fn new(limits: &Limits, received_at: i64) -> Self {
        let (back, ahead) = (limits.oldest_accepted, limits.latest_accepted);
        Self {
            oldest: received_at.saturating_sub(time::duration_to_micros(back)),
            latest: received_at.saturating_add(time::duration_to_micros(ahead)),
            back,
            ahead,
        }
    }

    #[inline]
    pub(super) fn accept(&self, timestamp: i64) -> bool {
        (self.oldest..=self.latest).contains(&timestamp)
    }

    #[inline]
    pub(super) fn check(&self, timestamp: i64) -> Result<(), Refusal> {
        if self.accept(timestamp) { Ok(()) } else { Err(self.refusal(timestamp)) }
    }

    #[cold]
    fn refusal(&self, timestamp: i64) -> Refusal {
        let found = time::display(timestamp);
        if timestamp < self.oldest {
            let (oldest, back) = (time::display(self.oldest), humantime::format_duration(self.back));
            (Reason::TimestampTooOld, format!("timestamp {found} is before {oldest}: the limit is {back} back"))
        } else {
            let (latest, ahead) = (time::display(self.latest), humantime::format_duration(self.ahead));
            (Reason::TimestampTooNew, format!("timestamp {found} is after {latest}: the limit is {ahead} ahead"))
        }
    }
}

/// A point's time in microseconds; `received_at` stands for one that is absent, where it may.
#[inline]
pub(super) fn of(timestamp: Option<(i64, i32)>, received_at: Option<i64>) -> Result<i64, Refusal> {
    let Some((seconds, nanos)) = timestamp else {
        return received_at.ok_or_else(|| {
            let sentence =
                "timestamp is missing; a numbered batch must carry its own, so that a resend means the same data";
            (Reason::TimestampMissing, sentence.to_owned())
        });
    };
    time::from_timestamp(&prost_types::Timestamp { seconds, nanos }).ok_or_else(|| {
        let sentence = format!("timestamp (seconds {seconds}, nanos {nanos}) is not a valid one");
        (Reason::TimestampInvalid, sentence)
    })
}

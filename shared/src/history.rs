//! The settings for history, and which combinations of them are safe: the maximum accepted age of
//! points, the refresh windows of the rollups, and retention.
//!
//! This module has no side effects. `db::history` reads the settings, and the functions of
//! `migrations/0008_history_settings.sql` change them consistently.

use std::time::Duration;

use crate::granularity::Granularity;
use crate::time::duration_to_micros;

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Minimum difference between the refresh window of minutes and the accepted age, in microseconds.
/// A point may arrive just before it is too old, and only the next run of the job can refresh it.
const UNTIL_NEXT_RUN: i64 = DAY;
/// Minimum difference between the retention of data and the refresh window of the rollup built on
/// it, in microseconds. A refresh takes time and must not read dropped data.
const KEPT_LONGER: i64 = DAY;
/// Minimum difference between the retention of producers and the accepted age, in microseconds.
const REMEMBERED_LONGER: i64 = DAY;

/// Length of a refresh window, counted back from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LookBack {
    /// No job refreshes the rollup.
    Nothing,
    /// Length in microseconds.
    Micros(i64),
    /// All data, whatever its age.
    Unbounded,
}

/// The history settings of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistorySettings {
    /// Refresh windows of minutes, hours and days.
    pub look_back: [LookBack; 3],
    /// Retention of points, minutes, hours and days, in microseconds. `None`: kept forever.
    pub kept: [Option<i64>; 4],
    /// Retention of idle producers, in microseconds. `None`: kept forever.
    pub producers_remembered: Option<i64>,
}

/// Two settings that must be consistent with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// The accepted age and the refresh window of minutes.
    AcceptedAge,
    /// The refresh windows of a rollup and of the finer rollup below it.
    LookBacks(Granularity),
    /// The refresh window of a rollup and the retention of the data below it.
    Retention(Granularity),
    /// The accepted age and the retention of producers.
    Producers,
}

/// Two settings that are not consistent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The pair of settings.
    pub pair: Pair,
    /// Message with their values, the consequence, and which setting to change.
    pub sentence: String,
}

impl Pair {
    /// All pairs.
    pub const ALL: [Self; 7] = [
        Self::AcceptedAge,
        Self::LookBacks(Granularity::Hour),
        Self::LookBacks(Granularity::Day),
        Self::Retention(Granularity::Minute),
        Self::Retention(Granularity::Hour),
        Self::Retention(Granularity::Day),
        Self::Producers,
    ];

    /// Returns the name used in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AcceptedAge => "accepted_age_minute_refresh",
            Self::LookBacks(Granularity::Day) => "hour_refresh_day_refresh",
            Self::LookBacks(_) => "minute_refresh_hour_refresh",
            Self::Retention(Granularity::Day) => "day_refresh_hour_retention",
            Self::Retention(Granularity::Hour) => "hour_refresh_minute_retention",
            Self::Retention(_) => "minute_refresh_points_retention",
            Self::Producers => "accepted_age_idle_producers",
        }
    }
}

impl HistorySettings {
    /// Returns the conflicts of the settings with each other and with the maximum accepted age.
    /// Empty if all settings are consistent.
    #[must_use]
    pub fn conflicts(&self, oldest_accepted: Duration) -> Vec<Conflict> {
        let accepted = duration_to_micros(oldest_accepted);
        Pair::ALL
            .into_iter()
            .filter_map(|pair| {
                let sentence = match pair {
                    Pair::AcceptedAge => self.accepted_age(accepted),
                    Pair::LookBacks(rollup) => self.look_backs(rollup, accepted),
                    Pair::Retention(rollup) => self.retention(rollup, accepted),
                    Pair::Producers => self.producers(accepted),
                };
                sentence.map(|sentence| Conflict { pair, sentence })
            })
            .collect()
    }

    fn accepted_age(&self, accepted: i64) -> Option<String> {
        let look_back = self.look_back_of(Granularity::Minute);
        if look_back >= LookBack::Micros(accepted.saturating_add(UNTIL_NEXT_RUN)) {
            return None;
        }
        let lower = match look_back {
            LookBack::Micros(micros) if micros > UNTIL_NEXT_RUN => {
                format!("lower TIDEGAUGE_OLDEST_ACCEPTED to {}, or ", text(micros - UNTIL_NEXT_RUN))
            }
            _ => String::new(),
        };
        Some(format!(
            "TIDEGAUGE_OLDEST_ACCEPTED is {accepted}, but {} (points are kept {}): older points \
             would never reach the rollups; {lower}raise both: \
             SELECT set_accepted_age('{accepted}')",
            looks_back(Granularity::Minute, look_back),
            keeping(self.kept_of(Granularity::Raw)),
            accepted = text(accepted),
        ))
    }

    fn look_backs(&self, rollup: Granularity, accepted: i64) -> Option<String> {
        let finer = finer(rollup);
        let own = self.look_back_of(rollup);
        let under = self.look_back_of(finer);
        let wanted = match under {
            LookBack::Micros(micros) => {
                LookBack::Micros(micros.saturating_add(rollup.bucket_micros().unwrap_or_default()))
            }
            other => other,
        };
        (own < wanted).then(|| {
            format!(
                "{}, but {}: late points would reach {} and not {}; set both: \
                 SELECT set_accepted_age('{}')",
                looks_back(finer, under),
                looks_back(rollup, own),
                finer.relation(),
                rollup.relation(),
                text(accepted),
            )
        })
    }

    fn retention(&self, rollup: Granularity, accepted: i64) -> Option<String> {
        let source = finer(rollup);
        let kept = self.kept_of(source)?;
        let look_back = self.look_back_of(rollup);
        let longest = LookBack::Micros(kept.saturating_sub(KEPT_LONGER));
        if look_back <= longest {
            return None;
        }
        let keep_longer = match look_back {
            LookBack::Micros(micros) => {
                let wanted = text(micros.saturating_add(KEPT_LONGER));
                format!(
                    "keep it for {wanted} or more: SELECT set_retention('{}', '{wanted}'), or ",
                    source.relation()
                )
            }
            _ => String::new(),
        };
        Some(format!(
            "{} is kept {}, but {} (TIDEGAUGE_OLDEST_ACCEPTED is {}): late points may be dropped \
             before they reach the rollup, and a refresh over dropped data deletes its buckets; \
             {keep_longer}lower the accepted age with set_accepted_age and \
             TIDEGAUGE_OLDEST_ACCEPTED",
            source.relation(),
            keeping(Some(kept)),
            looks_back(rollup, look_back),
            text(accepted),
        ))
    }

    fn producers(&self, accepted: i64) -> Option<String> {
        let remembered = self.producers_remembered?;
        (remembered < accepted.saturating_add(REMEMBERED_LONGER)).then(|| {
            format!(
                "TIDEGAUGE_OLDEST_ACCEPTED is {accepted}, but producers are removed {} after their \
                 last batch: a batch that is resent later would be stored twice; keep producers \
                 longer: SELECT set_accepted_age('{accepted}')",
                text(remembered),
                accepted = text(accepted),
            )
        })
    }

    fn look_back_of(&self, rollup: Granularity) -> LookBack {
        let [minute, hour, day] = self.look_back;
        match rollup {
            Granularity::Raw | Granularity::Minute => minute,
            Granularity::Hour => hour,
            Granularity::Day => day,
        }
    }

    fn kept_of(&self, granularity: Granularity) -> Option<i64> {
        let [points, minute, hour, day] = self.kept;
        match granularity {
            Granularity::Raw => points,
            Granularity::Minute => minute,
            Granularity::Hour => hour,
            Granularity::Day => day,
        }
    }
}

/// Returns the granularity that a rollup is computed from.
fn finer(rollup: Granularity) -> Granularity {
    match rollup {
        Granularity::Raw | Granularity::Minute => Granularity::Raw,
        Granularity::Hour => Granularity::Minute,
        Granularity::Day => Granularity::Hour,
    }
}

fn looks_back(rollup: Granularity, look_back: LookBack) -> String {
    let relation = rollup.relation();
    match look_back {
        LookBack::Nothing => format!("no job refreshes {relation}"),
        LookBack::Micros(micros) => format!("refreshes of {relation} look back {}", text(micros)),
        LookBack::Unbounded => format!("refreshes of {relation} look back without bound"),
    }
}

fn keeping(kept: Option<i64>) -> String {
    kept.map_or_else(|| "forever".to_owned(), |micros| format!("for {}", text(micros)))
}

/// Formats a duration in the largest unit that gives a whole number. PostgreSQL and the environment
/// variables accept the result.
fn text(micros: i64) -> String {
    let units = [(DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1_000_000, "second")];
    let (unit, name) =
        units.into_iter().find(|(unit, _)| micros % unit == 0).unwrap_or((1, "microsecond"));
    let count = micros / unit;
    if count == 1 { format!("1 {name}") } else { format!("{count} {name}s") }
}

#[cfg(test)]
mod tests;

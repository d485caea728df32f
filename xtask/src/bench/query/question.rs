//! The six questions, and the places in the data at which they are asked.

use super::data::{
    DAY, Dataset, FLEET_DEVICES, HOUR, MACHINE_STEP, MINUTE, fleet_prefix, machine_id,
};

/// Distance between the places at which two paths are queried in one round. No path repeats a query
/// that another one has just run.
pub(super) const PLACES_APART: usize = 7;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Question {
    DayInMinutes,
    MonthInHours,
    Newest,
    FleetAverage,
    Anomalies,
    MillionPoints,
}

impl Question {
    pub(super) const ALL: [Self; 6] = [
        Self::DayInMinutes,
        Self::MonthInHours,
        Self::Newest,
        Self::FleetAverage,
        Self::Anomalies,
        Self::MillionPoints,
    ];

    /// Returns the question's key in the output.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::DayInMinutes => "day_in_minutes",
            Self::MonthInHours => "month_in_hours",
            Self::Newest => "newest_of_1000_series",
            Self::FleetAverage => "fleet_average",
            Self::Anomalies => "anomalies",
            Self::MillionPoints => "million_points",
        }
    }

    /// Returns a title for tables.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::DayInMinutes => "a day of one series in minutes",
            Self::MonthInHours => "30 days of one series in hours",
            Self::Newest => "the newest value of 1,000 series",
            Self::FleetAverage => "average of 1,000 devices per hour of a day",
            Self::Anomalies => "anomalies of an hour against 24 hours",
            Self::MillionPoints => "a million raw points of one series",
        }
    }

    /// Returns the number of rows that an answer must have. `None` if it depends on the values.
    pub(super) fn rows(self) -> Option<usize> {
        match self {
            Self::DayInMinutes => Some(1_440),
            Self::MonthInHours => Some(720),
            Self::Newest => Some(FLEET_DEVICES),
            Self::FleetAverage => Some(24),
            Self::Anomalies => None,
            Self::MillionPoints => Some(1_000_000),
        }
    }

    /// Returns the width of the question's buckets in microseconds, or `None` if it has none.
    pub(super) fn bucket(self) -> Option<i64> {
        match self {
            Self::DayInMinutes => Some(MINUTE),
            Self::MonthInHours | Self::FleetAverage => Some(HOUR),
            Self::Newest | Self::Anomalies | Self::MillionPoints => None,
        }
    }

    /// Returns the question at a place. Places differ in device and interval. All intervals of a
    /// question have the same length and reach back at most 31 days.
    pub(super) fn at(self, data: Dataset, place: usize) -> PlacedQuestion {
        let group = place % data.groups();
        #[allow(clippy::cast_possible_wrap)] // places are a few thousand
        let moved = |step: i64, places: i64| (place as i64 * step).rem_euclid(places);
        let device = match self {
            Self::Newest | Self::FleetAverage => fleet_prefix(group),
            _ => machine_id(group),
        };
        let (end, length) = match self {
            Self::DayInMinutes => (data.end - moved(7_919, 29 * 1_440) * MINUTE, DAY),
            Self::MonthInHours => (data.whole_hour() - moved(1, 24) * HOUR, 30 * DAY),
            Self::Newest => (data.end, DAY),
            Self::FleetAverage => (data.whole_hour() - moved(1, 6) * HOUR, DAY),
            Self::Anomalies => (data.end - moved(7_919, 29 * 1_440) * MINUTE, HOUR),
            Self::MillionPoints => {
                (data.whole_hour() - moved(613, 170_000) * 1_000_000, 1_000_000 * MACHINE_STEP)
            }
        };
        PlacedQuestion { question: self, device, start: end - length, end }
    }
}

/// A question at one place.
#[derive(Clone, Debug)]
pub(super) struct PlacedQuestion {
    pub(super) question: Question,
    /// Device id, or the common prefix of a fleet's device ids.
    pub(super) device: String,
    /// Interval [start, end), in microseconds since the Unix epoch. For anomalies, this is the
    /// window. The day before it is the baseline.
    pub(super) start: i64,
    pub(super) end: i64,
}

impl PlacedQuestion {
    /// Returns the start of the baseline of anomalies.
    pub(super) fn baseline_start(&self) -> i64 {
        self.start - DAY
    }

    /// Returns the device ids of the fleet.
    pub(super) fn fleet(&self) -> Vec<String> {
        (0..FLEET_DEVICES).map(|device| format!("{}{device:04}", self.device)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::data::Scale;
    use super::*;

    #[test]
    fn every_place_is_within_the_data() {
        let data = Dataset::new(Scale::Once, 20_000 * DAY + 5 * HOUR + 30 * MINUTE + 7);
        for question in Question::ALL {
            for place in 0..2_000 {
                let placed = question.at(data, place);
                let first = if question == Question::Anomalies {
                    placed.baseline_start()
                } else {
                    placed.start
                };
                assert!(first >= data.start() && placed.end <= data.end, "{placed:?}");
            }
        }
    }

    #[test]
    fn a_million_points_are_a_million() {
        let data = Dataset::new(Scale::Once, 20_000 * DAY + 5 * HOUR + 30 * MINUTE + 7);
        for place in 0..50 {
            let placed = Question::MillionPoints.at(data, place);
            assert_eq!(data.times(0, placed.start, placed.end).count(), 1_000_000);
        }
    }
}

//! The seasonal rule: each hour of the week is judged by the same hour of past weeks.

use shared::proto::v1::BaselineState;
use shared::time::MICROS_PER_SECOND;

use super::{Judge, Moments};

/// The number of hours in a week.
pub(crate) const HOURS_OF_WEEK: usize = 168;
const HOUR: i64 = 3_600 * MICROS_PER_SECOND;

/// Returns the hour of the week (UTC) that contains the time. Hours are counted from Thursday
/// 00:00, when the Unix epoch began.
pub(crate) fn hour_of_week(micros: i64) -> usize {
    usize::try_from(micros.div_euclid(HOUR).rem_euclid(HOURS_OF_WEEK as i64)).unwrap_or(0)
}

/// The judges of the hours of the week that a window overlaps.
pub(crate) struct HourlyJudges {
    judges: Vec<Option<Judge>>,
    /// The combined baselines of these hours.
    pub(crate) moments: Moments,
}

impl HourlyJudges {
    /// Returns the judges for the window [start, end). `hours` are the baselines of each hour of
    /// the week.
    pub(crate) fn new(
        hours: &[Moments; HOURS_OF_WEEK],
        (start, end): (i64, i64),
        threshold: f64,
        min_count: u64,
    ) -> Self {
        let mut judges = vec![None; HOURS_OF_WEEK];
        let mut moments = Moments::EMPTY;
        let mut hour = start - start.rem_euclid(HOUR);
        while hour < end && judges[hour_of_week(hour)].is_none() {
            let past = &hours[hour_of_week(hour)];
            moments = moments.combine(*past);
            judges[hour_of_week(hour)] = Some(Judge::z_score(past, threshold, min_count));
            hour += HOUR;
        }
        Self { judges, moments }
    }

    /// Returns the judge of an hour of the week, or `None` if the window does not overlap it.
    pub(crate) fn of(&self, hour_of_week: usize) -> Option<&Judge> {
        self.judges.get(hour_of_week)?.as_ref()
    }

    /// Returns the hours of the week whose baseline is sufficient, with their judges.
    pub(crate) fn judging(&self) -> impl Iterator<Item = (usize, &Judge)> {
        let judges = self
            .judges
            .iter()
            .enumerate()
            .filter_map(|(hour, judge)| Some((hour, judge.as_ref()?)));
        judges.filter(|(_, judge)| judge.judges())
    }

    /// Returns the state of all hours together: insufficient if no hour is judged, and without
    /// spread if no judged hour has spread.
    pub(crate) fn state(&self) -> BaselineState {
        let mut states = self.judging().map(|(_, judge)| judge.state).peekable();
        if states.peek().is_none() {
            BaselineState::Insufficient
        } else if states.all(|state| state == BaselineState::NoSpread) {
            BaselineState::NoSpread
        } else {
            BaselineState::Sufficient
        }
    }
}

//! Each hour of the week judged by the same hour of past weeks.

use shared::proto::v1::BaselineState;
use shared::time::MICROS_PER_SECOND;

use super::{Judge, Moments};

/// Hours of the week.
pub(crate) const HOURS_OF_WEEK: usize = 168;
const HOUR: i64 = 3_600 * MICROS_PER_SECOND;

/// The hour of the week (UTC) that holds the time, counted from Thursday 00:00, when the Unix epoch began.
pub(crate) fn hour_of_week(micros: i64) -> usize {
    usize::try_from(micros.div_euclid(HOUR).rem_euclid(HOURS_OF_WEEK as i64)).unwrap_or(0)
}

/// A judge for each hour of the week that a window touches.
pub(crate) struct HourlyJudges {
    judges: Vec<Option<Judge>>,
    /// The baselines of all these hours together.
    pub(crate) moments: Moments,
}

impl HourlyJudges {
    /// For the window [start, end), from the past of each hour of the week.
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

    /// The judge of an hour of the week; none where the window does not touch it.
    pub(crate) fn of(&self, hour_of_week: usize) -> Option<&Judge> {
        self.judges.get(hour_of_week)?.as_ref()
    }

    /// Hours of the week that judge, each with its judge.
    pub(crate) fn judging(&self) -> impl Iterator<Item = (usize, &Judge)> {
        let judges = self
            .judges
            .iter()
            .enumerate()
            .filter_map(|(hour, judge)| Some((hour, judge.as_ref()?)));
        judges.filter(|(_, judge)| judge.judges())
    }

    /// Of the whole: insufficient where no hour judges, without spread where none of those that judge has any.
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

//! Judges the points of one series in one window, for `DetectAnomalies`.

use shared::granularity::Granularity;
use shared::proto::v1::{self, AnomalyMethod};

use super::messages;
use super::robust_baseline::robust_stats;
use super::rules::{HOURS_OF_WEEK, HourlyJudges, Judge, Moments, hour_of_week};
use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::relations::Relations;
use crate::store::{self, Point};
use crate::validate::AnomalyQuery;

/// The judges of the points of a window.
pub(crate) enum WindowJudges {
    /// One judge for all points.
    One(Judge),
    /// One judge for each hour of the week.
    Hourly(HourlyJudges),
}

impl WindowJudges {
    /// Reads the baseline and derives the judges from it. Returns the baseline as well.
    pub(crate) async fn read(
        pool: &ReadPool,
        relations: &Relations,
        series_id: i32,
        query: &AnomalyQuery,
    ) -> Result<(Self, v1::Baseline), QueryError> {
        let AnomalyQuery { baseline: interval, threshold, min_baseline_count, .. } = *query;
        Ok(match query.method {
            AnomalyMethod::Robust => {
                let stats = robust_stats(pool, series_id, interval).await?;
                let judge = Judge::robust(&stats, threshold, min_baseline_count);
                let baseline = v1::Baseline {
                    median: Some(stats.median),
                    median_absolute_deviation: Some(stats.mad),
                    ..messages::baseline(interval, &stats.moments, judge.state)
                };
                (Self::One(judge), baseline)
            }
            AnomalyMethod::Seasonal => {
                let mut hours = [Moments::EMPTY; HOURS_OF_WEEK];
                for stored in relations.parts(pool, Granularity::Hour, interval).await? {
                    let part = store::baseline_hourly(pool, series_id, &stored).await?;
                    hours.iter_mut().zip(part).for_each(|(hour, more)| *hour = hour.combine(more));
                }
                let judges = HourlyJudges::new(&hours, query.window, threshold, min_baseline_count);
                let baseline = messages::baseline(interval, &judges.moments, judges.state());
                (Self::Hourly(judges), baseline)
            }
            AnomalyMethod::ZScore | AnomalyMethod::Unspecified => {
                let mut moments = Moments::EMPTY;
                for stored in relations.parts(pool, Granularity::Minute, interval).await? {
                    moments = moments.combine(store::baseline(pool, series_id, &stored).await?);
                }
                let judge = Judge::z_score(&moments, threshold, min_baseline_count);
                (Self::One(judge), messages::baseline(interval, &moments, judge.state))
            }
        })
    }

    /// Returns the judge of a time.
    pub(crate) fn of(&self, timestamp: i64) -> Option<&Judge> {
        self.of_hour(hour_of_week(timestamp))
    }

    fn of_hour(&self, hour_of_week: usize) -> Option<&Judge> {
        match self {
            Self::One(judge) => Some(judge),
            Self::Hourly(judges) => judges.of(hour_of_week),
        }
    }

    /// Returns how many points are judged and how many are not, given their counts by hour of the
    /// week.
    pub(crate) fn divide(&self, counts: &[(usize, u64)]) -> (u64, u64) {
        counts.iter().fold((0, 0), |(judged, not_judged), &(hour, count)| {
            match self.of_hour(hour) {
                Some(judge) if judge.judges() => (judged + count, not_judged),
                _ => (judged, not_judged + count),
            }
        })
    }

    /// Returns the points of the window that are outside the bounds, earliest first, at most
    /// `limit`.
    pub(crate) async fn outside(
        &self,
        pool: &ReadPool,
        series_id: i32,
        window: (i64, i64),
        limit: i64,
    ) -> sqlx::Result<Vec<Point>> {
        match self {
            Self::One(judge) => {
                store::outside(pool, series_id, window, (judge.lower, judge.upper), limit).await
            }
            Self::Hourly(judges) => {
                let bounds = |(hour, judge): (usize, &Judge)| {
                    Some((i32::try_from(hour).ok()?, judge.lower, judge.upper))
                };
                let bounds: Vec<_> = judges.judging().filter_map(bounds).collect();
                store::outside_hourly(pool, series_id, window, &bounds, limit).await
            }
        }
    }
}

/// Counts the points in the window. The count is by hour of the week for `Seasonal`, and otherwise
/// under hour 0.
pub(crate) async fn counts(
    pool: &ReadPool,
    series_id: i32,
    query: &AnomalyQuery,
) -> Result<Vec<(usize, u64)>, QueryError> {
    Ok(match query.method {
        AnomalyMethod::Seasonal => store::count_hourly(pool, series_id, query.window).await?,
        _ => vec![(0, store::count(pool, series_id, query.window).await?)],
    })
}

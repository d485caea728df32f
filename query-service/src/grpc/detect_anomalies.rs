//! The handler of `DetectAnomalies`.

use shared::granularity::Granularity;
use shared::proto::v1::{self, AnomalyMethod, BaselineState};
use shared::time;

use crate::anomaly::rules::{
    HOURS_OF_WEEK, HourlyJudges, Judge, Moments, RobustStats, hour_of_week,
};
use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::relations::Relations;
use crate::series;
use crate::store::{self, Point};
use crate::validate::AnomalyQuery;

/// The maximum number of points in a baseline of the robust rule, which needs every value in
/// memory: 8 bytes each.
pub(crate) const MAX_ROBUST_POINTS: usize = 1_000_000;

/// The judges of the points of a window.
enum Judges {
    /// One judge for all points.
    One(Judge),
    /// One judge for each hour of the week.
    Hourly(HourlyJudges),
}

pub(super) async fn handle(
    pool: ReadPool,
    relations: Relations,
    request: v1::DetectAnomaliesRequest,
    now: i64,
) -> Result<v1::DetectAnomaliesResponse, QueryError> {
    let query = AnomalyQuery::check(request, now)?;
    let series_id = series::find_one(&pool, &query.device_id, &query.metric_name).await?;
    let ((judges, baseline), counts) = tokio::try_join!(
        judges(&pool, &relations, series_id, &query),
        counts(&pool, series_id, &query)
    )?;
    let (tested_count, not_judged_count) = judges.divide(&counts);
    let most = query.max_anomalies as usize;
    let mut outside = match tested_count {
        0 => Vec::new(),
        _ => {
            judges
                .outside(&pool, series_id, query.window, i64::from(query.max_anomalies) + 1)
                .await?
        }
    };
    let anomalies_truncated = outside.len() > most;
    outside.truncate(most);
    Ok(v1::DetectAnomaliesResponse {
        anomalies: outside
            .into_iter()
            .filter_map(|point| anomaly(judges.of(point.timestamp)?, point))
            .collect(),
        anomalies_truncated,
        method: query.method as i32,
        baseline: Some(baseline),
        tested_count,
        start: Some(time::to_timestamp(query.window.0)),
        end: Some(time::to_timestamp(query.window.1)),
        not_judged_count,
    })
}

/// Reads the baseline and derives the judges from it.
async fn judges(
    pool: &ReadPool,
    relations: &Relations,
    series_id: i32,
    query: &AnomalyQuery,
) -> Result<(Judges, v1::Baseline), QueryError> {
    let AnomalyQuery { baseline: interval, threshold, min_baseline_count, .. } = *query;
    Ok(match query.method {
        AnomalyMethod::Robust => {
            let stats = robust_stats(pool, series_id, interval).await?;
            let judge = Judge::robust(&stats, threshold, min_baseline_count);
            let baseline = v1::Baseline {
                median: Some(stats.median),
                median_absolute_deviation: Some(stats.mad),
                ..baseline(interval, &stats.moments, judge.state)
            };
            (Judges::One(judge), baseline)
        }
        AnomalyMethod::Seasonal => {
            let mut hours = [Moments::EMPTY; HOURS_OF_WEEK];
            for stored in relations.parts(pool, Granularity::Hour, interval).await? {
                let part = store::baseline_hourly(pool, series_id, &stored).await?;
                hours.iter_mut().zip(part).for_each(|(hour, more)| *hour = hour.combine(more));
            }
            let judges = HourlyJudges::new(&hours, query.window, threshold, min_baseline_count);
            let baseline = baseline(interval, &judges.moments, judges.state());
            (Judges::Hourly(judges), baseline)
        }
        AnomalyMethod::ZScore | AnomalyMethod::Unspecified => {
            let mut moments = Moments::EMPTY;
            for stored in relations.parts(pool, Granularity::Minute, interval).await? {
                moments = moments.combine(store::baseline(pool, series_id, &stored).await?);
            }
            let judge = Judge::z_score(&moments, threshold, min_baseline_count);
            (Judges::One(judge), baseline(interval, &moments, judge.state))
        }
    })
}

/// Counts the points in the window. The count is by hour of the week for `Seasonal`, and otherwise
/// under hour 0.
async fn counts(
    pool: &ReadPool,
    series_id: i32,
    query: &AnomalyQuery,
) -> Result<Vec<(usize, u64)>, QueryError> {
    Ok(match query.method {
        AnomalyMethod::Seasonal => store::count_hourly(pool, series_id, query.window).await?,
        _ => vec![(0, store::count(pool, series_id, query.window).await?)],
    })
}

/// Returns the baseline of the robust rule for a series in an interval [start, end).
pub(crate) async fn robust_stats(
    pool: &ReadPool,
    series_id: i32,
    interval: (i64, i64),
) -> Result<RobustStats, QueryError> {
    let limit = i64::try_from(MAX_ROBUST_POINTS + 1).unwrap_or(i64::MAX);
    let values = store::baseline_values(pool, series_id, interval, limit).await?;
    if values.len() > MAX_ROBUST_POINTS {
        let description =
            format!("has more than {MAX_ROBUST_POINTS} points, the limit of ROBUST: shorten it");
        return Err(QueryError::invalid("baseline", description));
    }
    Ok(RobustStats::of(values))
}

impl Judges {
    fn of(&self, timestamp: i64) -> Option<&Judge> {
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
    fn divide(&self, counts: &[(usize, u64)]) -> (u64, u64) {
        counts.iter().fold((0, 0), |(judged, not_judged), &(hour, count)| {
            match self.of_hour(hour) {
                Some(judge) if judge.judges() => (judged + count, not_judged),
                _ => (judged, not_judged + count),
            }
        })
    }

    /// Returns the points of the window that are outside the bounds, earliest first, at most
    /// `limit`.
    async fn outside(
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

pub(crate) fn anomaly(judge: &Judge, point: Point) -> Option<v1::Anomaly> {
    let (score, direction) = judge.judge(point.value)?;
    Some(v1::Anomaly {
        timestamp: Some(time::to_timestamp(point.timestamp)),
        value: point.value,
        expected_value: judge.expected,
        lower_bound: judge.lower,
        upper_bound: judge.upper,
        score,
        direction: direction as i32,
    })
}

pub(crate) fn baseline(
    (start, end): (i64, i64),
    moments: &Moments,
    state: BaselineState,
) -> v1::Baseline {
    v1::Baseline {
        start: Some(time::to_timestamp(start)),
        end: Some(time::to_timestamp(end)),
        count: moments.count,
        mean: moments.mean,
        stddev: moments.stddev(),
        state: state as i32,
        median: None,
        median_absolute_deviation: None,
    }
}

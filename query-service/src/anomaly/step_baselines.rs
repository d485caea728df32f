//! The baselines of watched series, one per series and time step, for `WatchAnomalies`. Each is
//! read once.

use std::collections::{BTreeMap, HashMap, HashSet};

use shared::granularity::Granularity;
use shared::proto::v1::{self, AnomalyMethod};

use super::messages;
use super::robust_baseline::robust_stats;
use super::rules::{Judge, Moments};
use crate::error::QueryError;
use crate::read_pool::ReadPool;
use crate::relations::Relations;
use crate::store::{self, WatchedBounds};
use crate::validate::WatchQuery;

const MINUTE: i64 = 60_000_000;
const WEEK: i64 = 7 * 24 * 60 * MINUTE;

/// The judge of the points of one series in one step, with its baseline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JudgedBaseline {
    pub(crate) judge: Judge,
    moments: Moments,
    /// The median and the median absolute deviation, for ROBUST.
    median: Option<(f64, f64)>,
}

/// The judges by step and series. The baseline of a step ends where the step begins.
pub(crate) struct StepBaselines {
    relations: Relations,
    query: WatchQuery,
    steps: BTreeMap<i64, HashMap<i32, JudgedBaseline>>,
    /// The series that have judges for all of `steps`.
    known: HashSet<i32>,
}

impl StepBaselines {
    pub(crate) fn new(relations: Relations, query: WatchQuery) -> Self {
        Self { relations, query, steps: BTreeMap::new(), known: HashSet::new() }
    }

    /// Returns the length of a step in microseconds. Longer steps read fewer baselines; ROBUST
    /// reads every value of each.
    fn width(&self) -> i64 {
        match self.query.method {
            AnomalyMethod::Robust => 10 * MINUTE,
            AnomalyMethod::Seasonal => 60 * MINUTE,
            AnomalyMethod::ZScore | AnomalyMethod::Unspecified => MINUTE,
        }
    }

    /// Returns the start of the step that contains the time.
    pub(crate) fn step(&self, time: i64) -> i64 {
        time - time.rem_euclid(self.width())
    }

    /// Removes the steps before the one that contains the time.
    pub(crate) fn forget_before(&mut self, time: i64) {
        self.steps = self.steps.split_off(&self.step(time));
    }

    /// Reads the missing baselines of these series, from the step that contains `first` to the one
    /// that contains `last`.
    pub(crate) async fn read(
        &mut self,
        pool: &ReadPool,
        series_ids: &[i32],
        first: i64,
        last: i64,
    ) -> Result<(), QueryError> {
        let mut wanted = Vec::new();
        let mut step = self.step(first);
        while step <= last {
            wanted.push(step);
            step += self.width();
        }
        let (known, new): (Vec<i32>, Vec<i32>) =
            series_ids.iter().partition(|id| self.known.contains(id));
        wanted.retain(|step| !self.steps.contains_key(step));
        let there: Vec<i64> = self.steps.keys().copied().collect();
        self.read_steps(pool, &known, &wanted).await?;
        self.read_steps(pool, &new, &wanted).await?;
        self.read_steps(pool, &new, &there).await?;
        self.known.extend(new);
        Ok(())
    }

    async fn read_steps(
        &mut self,
        pool: &ReadPool,
        series_ids: &[i32],
        steps: &[i64],
    ) -> Result<(), QueryError> {
        let (Some(&first), Some(&last), false) =
            (steps.first(), steps.last(), series_ids.is_empty())
        else {
            return Ok(());
        };
        match self.query.method {
            AnomalyMethod::Robust => {
                for &step in steps {
                    for &series_id in series_ids {
                        let stats = robust_stats(pool, series_id, self.interval(step)).await?;
                        let judge = Judge::robust(
                            &stats,
                            self.query.threshold,
                            self.query.min_baseline_count,
                        );
                        let judged = JudgedBaseline {
                            judge,
                            moments: stats.moments,
                            median: Some((stats.median, stats.mad)),
                        };
                        self.steps.entry(step).or_default().insert(series_id, judged);
                    }
                }
            }
            AnomalyMethod::Seasonal => {
                for &step in steps {
                    let (start, end) = self.interval(step);
                    let hours: Vec<i64> =
                        (1..=(end - start) / WEEK).map(|weeks| step - weeks * WEEK).collect();
                    let mut found = HashMap::new();
                    for part in self.relations.parts(pool, Granularity::Hour, (start, end)).await? {
                        add(
                            &mut found,
                            store::watched_hours(pool, series_ids, &part, &hours).await?,
                        );
                    }
                    self.keep(step, series_ids, &found);
                }
            }
            AnomalyMethod::ZScore | AnomalyMethod::Unspecified => {
                let relations = &self.relations;
                let length = self.query.baseline;
                let sliding =
                    SlidingBaselines::read(pool, relations, series_ids, length, (first, last))
                        .await?;
                for &step in steps {
                    self.keep(step, series_ids, &sliding.before(step));
                }
            }
        }
        Ok(())
    }

    fn interval(&self, step: i64) -> (i64, i64) {
        (step - self.query.baseline, step)
    }

    fn keep(&mut self, step: i64, series_ids: &[i32], found: &HashMap<i32, Moments>) {
        let threshold = self.query.threshold;
        let min_count = self.query.min_baseline_count;
        let judged = |&series_id: &i32| {
            let moments = found.get(&series_id).copied().unwrap_or(Moments::EMPTY);
            (
                series_id,
                JudgedBaseline {
                    judge: Judge::z_score(&moments, threshold, min_count),
                    moments,
                    median: None,
                },
            )
        };
        self.steps.entry(step).or_default().extend(series_ids.iter().map(judged));
    }

    /// Returns the narrowest bounds of each series over the steps from `first` to `last`. A value
    /// within them is no anomaly in any of the steps. Leaves out series that no step judges.
    pub(crate) fn narrowest(
        &self,
        series_ids: &[i32],
        first: i64,
        last: i64,
    ) -> Vec<WatchedBounds> {
        let first = self.step(first);
        let last = self.step(last);
        let mut bounds = Vec::new();
        for &series_id in series_ids {
            let steps =
                self.steps.range(first..=last).filter_map(|(_, judged)| judged.get(&series_id));
            let judging = steps.map(|judged| judged.judge).filter(Judge::judges);
            let narrowest = judging
                .map(|judge| (judge.lower, judge.upper))
                .reduce(|a, b| (a.0.max(b.0), a.1.min(b.1)));
            bounds.extend(narrowest.map(|(lower, upper)| WatchedBounds {
                series_id,
                lower,
                upper,
            }));
        }
        bounds
    }

    /// Returns the step and the judge of a time. Times after the last step use the last step.
    pub(crate) fn of(&self, series_id: i32, time: i64) -> Option<(i64, &JudgedBaseline)> {
        let (&step, judged) = self.steps.range(..=time).next_back()?;
        Some((step, judged.get(&series_id)?))
    }

    /// Returns the baseline of a step as a message of the contract.
    pub(crate) fn describe(&self, step: i64, judged: &JudgedBaseline) -> v1::Baseline {
        let baseline = messages::baseline(self.interval(step), &judged.moments, judged.judge.state);
        let (median, median_absolute_deviation) = judged.median.unzip();
        v1::Baseline { median, median_absolute_deviation, ..baseline }
    }
}

/// The baselines that end at each of several minutes. They differ at their ends only, so their
/// common middle is read once.
struct SlidingBaselines {
    length: i64,
    middle: HashMap<i32, Moments>,
    ends: Vec<(i32, i64, Moments)>,
}

impl SlidingBaselines {
    /// Reads the data of the baselines of this length that end at the minutes from `first` to
    /// `last`.
    async fn read(
        pool: &ReadPool,
        relations: &Relations,
        series_ids: &[i32],
        length: i64,
        (first, last): (i64, i64),
    ) -> sqlx::Result<Self> {
        let ranges = BaselineRanges::new(length, first, last);
        let mut sliding = Self { length, middle: HashMap::new(), ends: Vec::new() };
        for end in ranges.ends {
            for minutes in relations.parts(pool, Granularity::Minute, end).await? {
                sliding.ends.extend(store::watched_minutes(pool, series_ids, &minutes).await?);
            }
        }
        if let Some(middle) = ranges.middle {
            for minutes in relations.parts(pool, Granularity::Minute, middle).await? {
                add(
                    &mut sliding.middle,
                    store::watched_baselines(pool, series_ids, &minutes).await?,
                );
            }
        }
        Ok(sliding)
    }

    /// Returns the baselines that end at this minute, by series.
    fn before(&self, minute: i64) -> HashMap<i32, Moments> {
        let mut baselines = self.middle.clone();
        for &(series_id, start, moments) in &self.ends {
            if (minute - self.length..minute).contains(&start) {
                add(&mut baselines, vec![(series_id, moments)]);
            }
        }
        baselines
    }
}

/// Combines moments into the baselines, by series.
fn add(baselines: &mut HashMap<i32, Moments>, more: Vec<(i32, Moments)>) {
    for (series_id, moments) in more {
        let baseline = baselines.entry(series_id).or_insert(Moments::EMPTY);
        *baseline = baseline.combine(moments);
    }
}

/// The ranges of the minutes to read, [start, end) each, without overlap. The middle is aggregated
/// as a whole, the ends are read minute by minute.
#[derive(Debug)]
struct BaselineRanges {
    middle: Option<(i64, i64)>,
    ends: Vec<(i64, i64)>,
}

impl BaselineRanges {
    fn new(length: i64, first: i64, last: i64) -> Self {
        let start = first - length;
        let middle = (last - length, first);
        let (middle, mut ends) = match middle.0 < middle.1 {
            true => (Some(middle), vec![(start, middle.0), (middle.1, last)]),
            false => (None, vec![(start, last)]),
        };
        ends.retain(|(start, end)| start < end);
        Self { middle, ends }
    }
}

#[cfg(test)]
mod tests;

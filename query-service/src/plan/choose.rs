//! Chooses the buckets of an answer and the granularity that they are computed from. Pure.

use jiff::tz::TimeZone;
use shared::granularity::Granularity;
use shared::proto::v1::GranularityReason;
use shared::time;

use super::grid::LocalDays;
use super::{DAY, Grid, Plan, Retention, Segment, points, stitch};
use crate::error::QueryError;
use crate::validate::{AggregatedQuery, GapFill, MAX_WIDTH_DAYS};

/// The maximum number of buckets of local days in an answer: about 270 years of single days.
const MAX_LOCAL_DAYS: i64 = 100_000;
/// How many buckets before the interval `GapFill::Last` searches for a value.
const FILL_LOOK_BACK: i64 = 100;

/// The buckets and the granularity that they are computed from, before retention is considered.
struct Choice {
    source: Granularity,
    grid: Grid,
    reason: GranularityReason,
    explanation: String,
}

/// Plans an answer in buckets. It has every bucket that overlaps the interval, as a whole.
///
/// # Errors
/// Returns `Invalid` if the width does not fit the granularity, if the interval exceeds a limit, or
/// if retention has dropped points that a statistic needs.
pub(crate) fn choose(query: &AggregatedQuery, retention: &Retention) -> Result<Plan, QueryError> {
    let mut choice = match (query.granularity, query.bucket_width) {
        (Some(Granularity::Raw), None) => {
            return Ok(with_note(points(query.start, query.end), retention));
        }
        (granularity, Some(width)) => by_width(query, granularity, width)?,
        (Some(granularity), None) => named(query, granularity)?,
        (None, None) => automatic(query)?,
    };
    if let Some(what) = query.raw_only {
        choice.source = Granularity::Raw;
        choice.reason = GranularityReason::Statistic;
        choice.explanation = format!("{}; {what} is computed from points", choice.explanation);
        check_points_are_kept(&choice, query, retention, what)?;
    }
    let segments = segments(&choice, query, retention);
    let (start, end) = match (segments.first(), segments.last()) {
        (Some(first), Some(last)) => (first.start, last.end),
        _ => (query.start, query.end),
    };
    let mut plan =
        Plan { reason: choice.reason, explanation: choice.explanation, start, end, segments };
    if plan.segments.len() > 1 || plan.granularity() != choice.source {
        plan.reason = GranularityReason::Retention;
    }
    if plan.granularity() != choice.source {
        plan.explanation +=
            &format!(", but is no longer kept; {} is read instead", plan.granularity().relation());
    }
    Ok(with_note(plan, retention))
}

fn segments(choice: &Choice, query: &AggregatedQuery, retention: &Retention) -> Vec<Segment> {
    match choice.grid {
        Grid::Equal(width) if query.granularity.is_none() && choice.source != Granularity::Raw => {
            stitch::stitch(choice.source, width, (query.start, query.end), retention)
        }
        _ => {
            let grid = choice.grid.clone();
            let start = grid.floor(query.start);
            let end = grid.ceil(query.end);
            vec![Segment { source: choice.source, grid, start, end }]
        }
    }
}

/// Chooses the granularity that the request names, with its own buckets. Days are those of the
/// request's time zone.
fn named(query: &AggregatedQuery, granularity: Granularity) -> Result<Choice, QueryError> {
    let explanation = format!("the request specifies {}", granularity.relation());
    let Some(width) = granularity.bucket_micros().filter(|&width| width != DAY) else {
        return days(
            query,
            1,
            GranularityReason::Requested,
            "the request specifies days".to_owned(),
        );
    };
    Ok(Choice {
        source: granularity,
        grid: Grid::Equal(width),
        reason: GranularityReason::Requested,
        explanation,
    })
}

/// Chooses buckets of the request's width. They are computed from the granularity that the request
/// names, or else from the coarsest rollup whose buckets they consist of.
fn by_width(
    query: &AggregatedQuery,
    granularity: Option<Granularity>,
    width: i64,
) -> Result<Choice, QueryError> {
    let grid = if width % DAY == 0 { days_grid(query, width / DAY)? } else { Grid::Equal(width) };
    let count = grid.count(grid.floor(query.start), grid.ceil(query.end));
    if let Some(most) =
        query.max_points.filter(|&most| granularity.is_none() && count > u64::from(most))
    {
        let description = format!(
            "gives {count} buckets, more than max_points, which is {most}: \
             use wider buckets or a larger max_points"
        );
        return Err(QueryError::invalid("bucket_width", description));
    }
    let source = match granularity {
        Some(named) => named,
        None => coarsest_rollup(&grid)?,
    };
    // A day of a time zone consists of hours or minutes, even if the request says DAY.
    let source = if source == Granularity::Day && width % DAY == 0 {
        coarsest_rollup(&grid)?
    } else {
        source
    };
    if let Some(unit) = source.bucket_micros().filter(|&unit| !grid.consists_of(unit)) {
        let unit = time::to_duration(unit).seconds;
        let description = format!(
            "gives buckets that do not consist of whole buckets of {}: \
             use a multiple of {unit} s, or granularity AUTO",
            source.relation()
        );
        return Err(QueryError::invalid("bucket_width", description));
    }
    let explanation = format!(
        "the request specifies buckets of {} s, computed from {}",
        width / 1_000_000,
        source.relation()
    );
    Ok(Choice { source, grid, reason: GranularityReason::BucketWidth, explanation })
}

/// Chooses the finest rollup that answers the interval in at most `max_points` buckets. If single
/// days are too many, chooses buckets of several days.
fn automatic(query: &AggregatedQuery) -> Result<Choice, QueryError> {
    let most = u64::from(query.max_points.unwrap_or(AggregatedQuery::DEFAULT_MAX_POINTS));
    let fits =
        |finest: String, count: u64| format!("{finest} with at most {most} buckets: {count}");
    for source in [Granularity::Minute, Granularity::Hour] {
        let Some(grid) = source.bucket_micros().map(Grid::Equal) else { continue };
        let count = grid.count(grid.floor(query.start), grid.ceil(query.end));
        if count <= most {
            let explanation =
                fits(format!("{} is the finest granularity", source.relation()), count);
            return Ok(Choice {
                source,
                grid,
                reason: GranularityReason::FitsMaxPoints,
                explanation,
            });
        }
    }
    let (days_each, count) = days_per_bucket(query, most)?;
    let what = match days_each {
        1 => "days are the finest granularity".to_owned(),
        days => format!("buckets of {days} days are the finest"),
    };
    days(query, days_each, GranularityReason::FitsMaxPoints, fits(what, count))
}

/// Returns the smallest number of days per bucket that answers the interval in at most `most`
/// buckets, and the number of buckets.
fn days_per_bucket(query: &AggregatedQuery, most: u64) -> Result<(i64, u64), QueryError> {
    let utc = TimeZone::UTC;
    let zone = query.time_zone.as_ref().unwrap_or(&utc);
    let count = |days: i64| {
        let buckets = LocalDays { zone, days };
        (buckets.number(query.end - 1) - buckets.number(query.start) + 1).unsigned_abs()
    };
    let fewest = (count(1) / most).max(1);
    (fewest.try_into().unwrap_or(i64::MAX)..=MAX_WIDTH_DAYS)
        .map(|days| (days, count(days)))
        .find(|&(_, count)| count <= most)
        .ok_or_else(|| {
            let description = format!(
                "is too small for the interval: {most} buckets of {MAX_WIDTH_DAYS} days, \
                 the widest, do not cover it"
            );
            QueryError::invalid("max_points", description)
        })
}

/// Chooses buckets of `days` days of the request's time zone.
fn days(
    query: &AggregatedQuery,
    days: i64,
    reason: GranularityReason,
    why: String,
) -> Result<Choice, QueryError> {
    let grid = days_grid(query, days)?;
    let source = coarsest_rollup(&grid)?;
    let reason = match reason {
        GranularityReason::Requested if source != Granularity::Day => GranularityReason::TimeZone,
        reason => reason,
    };
    let explanation = match &query.time_zone {
        Some(zone) => format!(
            "{why}; days of {} are computed from {}",
            zone.iana_name().unwrap_or("UTC"),
            source.relation()
        ),
        None => format!("{why}, from {}", source.relation()),
    };
    Ok(Choice { source, grid, reason, explanation })
}

fn days_grid(query: &AggregatedQuery, days: i64) -> Result<Grid, QueryError> {
    let Some(zone) = &query.time_zone else { return Ok(Grid::Equal(days * DAY)) };
    let buckets = LocalDays { zone, days };
    let count = buckets.number(query.end - 1) - buckets.number(query.start) + 1;
    if count > MAX_LOCAL_DAYS {
        let description = format!(
            "gives {count} buckets of local days; the limit with a time_zone is {MAX_LOCAL_DAYS}: \
             use a shorter interval or wider buckets"
        );
        return Err(QueryError::invalid("end", description));
    }
    Ok(buckets.grid(
        query.start,
        query.end,
        if query.gap_fill == GapFill::Last { FILL_LOOK_BACK } else { 0 },
    ))
}

/// Returns the coarsest rollup whose buckets the grid's buckets consist of.
fn coarsest_rollup(grid: &Grid) -> Result<Granularity, QueryError> {
    let made =
        |rollup: &Granularity| rollup.bucket_micros().is_some_and(|width| grid.consists_of(width));
    Granularity::ROLLUPS.into_iter().rev().find(made).ok_or_else(|| {
        let description = "has days that do not begin on a whole minute, as before standard time; \
                        use a later start";
        QueryError::invalid("time_zone", description)
    })
}

fn check_points_are_kept(
    choice: &Choice,
    query: &AggregatedQuery,
    retention: &Retention,
    what: &str,
) -> Result<(), QueryError> {
    let start = choice.grid.floor(query.start);
    let from = retention.kept_from(Granularity::Raw);
    if from <= start {
        return Ok(());
    }
    let description = format!(
        "{what} is computed from points, which are kept from {} on; \
         the first bucket begins at {}: use a later start",
        time::display(from),
        time::display(start)
    );
    Err(QueryError::invalid("statistics", description))
}

/// Adds to the explanation which parts are coarser and from when on there is data.
fn with_note(mut plan: Plan, retention: &Retention) -> Plan {
    for pair in plan.segments.windows(2) {
        if let [older, newer] = pair {
            let seam = time::display(newer.start);
            let older = older.source.relation();
            let newer = newer.source.relation();
            plan.explanation += &format!(
                "; before {seam} {older} is read, because {newer} is no longer kept there"
            );
        }
    }
    if let Some(oldest) = plan.segments.first() {
        let from = retention.kept_from(oldest.source);
        if from > oldest.start {
            let relation = oldest.source.relation();
            let from = time::display(from);
            plan.explanation += &format!("; {relation} is kept from {from} on only");
        }
    }
    plan
}

impl Plan {
    /// Returns the time from which to read. That is before the interval if gaps are filled with the
    /// last value.
    pub(crate) fn read_from(&self, fill: GapFill) -> i64 {
        match self.segments.first() {
            Some(oldest) if fill == GapFill::Last => {
                oldest.grid.step(oldest.start, -FILL_LOOK_BACK)
            }
            _ => self.start,
        }
    }
}

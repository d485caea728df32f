//! Which buckets answer a question, and what they are computed from. Pure.

use jiff::tz::TimeZone;
use shared::granularity::Granularity;
use shared::proto::v1::GranularityReason;
use shared::time;

use super::grid::LocalDays;
use super::{DAY, Grid, Kept, Plan, Segment, points, stitch};
use crate::error::QueryError;
use crate::validate::{AggregatedQuery, GapFill, MAX_WIDTH_DAYS};

/// Most local days, or buckets of several, that an answer may have: some 270 years.
const MAX_LOCAL_DAYS: i64 = 100_000;
/// How many buckets before the interval `GapFill::Last` looks at.
const LOOK_BACK: i64 = 100;

/// Buckets and the granularity that they are computed from, before retention is looked at.
struct Choice {
    source: Granularity,
    grid: Grid,
    reason: GranularityReason,
    explanation: String,
}

/// Plans an answer in buckets: every bucket that overlaps the interval, whole.
///
/// # Errors
/// The width does not go with the granularity, the interval does not fit the limits, or what the statistics need is no
/// longer kept.
pub(crate) fn choose(query: &AggregatedQuery, kept: &Kept) -> Result<Plan, QueryError> {
    let mut choice = match (query.granularity, query.bucket_width) {
        (Some(Granularity::Raw), None) => {
            return Ok(with_note(points(query.start, query.end), kept));
        }
        (granularity, Some(width)) => of_width(query, granularity, width)?,
        (Some(granularity), None) => named(query, granularity)?,
        (None, None) => automatic(query)?,
    };
    if let Some(what) = query.raw_only {
        choice.source = Granularity::Raw;
        choice.reason = GranularityReason::Statistic;
        choice.explanation = format!("{}; {what} is computed from points", choice.explanation);
        check_raw_is_kept(&choice, query, kept, what)?;
    }
    let segments = segments(&choice, query, kept);
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
            &format!(", but is no longer kept; from {} instead", plan.granularity().relation());
    }
    Ok(with_note(plan, kept))
}

fn segments(choice: &Choice, query: &AggregatedQuery, kept: &Kept) -> Vec<Segment> {
    match choice.grid {
        Grid::Equal(width) if query.granularity.is_none() && choice.source != Granularity::Raw => {
            stitch::stitch(choice.source, width, (query.start, query.end), kept)
        }
        _ => {
            let (source, grid) = (choice.source, choice.grid.clone());
            let (start, end) = (grid.floor(query.start), grid.ceil(query.end));
            vec![Segment { source, grid, start, end }]
        }
    }
}

/// The granularity that the request names, in its own buckets; for days, those of the request's time zone.
fn named(query: &AggregatedQuery, granularity: Granularity) -> Result<Choice, QueryError> {
    let explanation = format!("the request asks for {}", granularity.relation());
    let Some(width) = granularity.bucket_micros().filter(|&width| width != DAY) else {
        return days(
            query,
            1,
            GranularityReason::Requested,
            "the request asks for days".to_owned(),
        );
    };
    Ok(Choice {
        source: granularity,
        grid: Grid::Equal(width),
        reason: GranularityReason::Requested,
        explanation,
    })
}

/// Buckets of the request's width, computed from the granularity that it names or from the coarsest rollup that they are
/// made of.
fn of_width(
    query: &AggregatedQuery,
    granularity: Option<Granularity>,
    width: i64,
) -> Result<Choice, QueryError> {
    let grid = if width % DAY == 0 { days_grid(query, width / DAY)? } else { Grid::Equal(width) };
    let count = grid.count(grid.floor(query.start), grid.ceil(query.end));
    if let Some(most) =
        query.max_points.filter(|&most| granularity.is_none() && count > u64::from(most))
    {
        let sentence = format!("gives {count} buckets; max_points is {most}");
        return Err(QueryError::invalid("bucket_width", sentence));
    }
    let source = match granularity {
        Some(named) => named,
        None => made_from(&grid)?,
    };
    // A day of a time zone is made of hours or minutes, also where the request says DAY.
    let source =
        if source == Granularity::Day && width % DAY == 0 { made_from(&grid)? } else { source };
    if let Some(unit) = source.bucket_micros().filter(|&unit| !grid.is_made_of(unit)) {
        let unit = time::to_duration(unit).seconds;
        let sentence = format!(
            "gives buckets that are not made of whole buckets of {}: take a multiple of {unit} s, or granularity AUTO",
            source.relation()
        );
        return Err(QueryError::invalid("bucket_width", sentence));
    }
    let explanation = format!(
        "the request asks for buckets of {} s, made from {}",
        width / 1_000_000,
        source.relation()
    );
    Ok(Choice { source, grid, reason: GranularityReason::BucketWidth, explanation })
}

/// The finest rollup that answers the interval in at most so many buckets; days together where not even days do.
fn automatic(query: &AggregatedQuery) -> Result<Choice, QueryError> {
    let most = u64::from(query.max_points.unwrap_or(AggregatedQuery::DEFAULT_MAX_POINTS));
    let fits =
        |explained: String, count: u64| format!("{explained} in at most {most} buckets: {count}");
    for source in [Granularity::Minute, Granularity::Hour] {
        let Some(grid) = source.bucket_micros().map(Grid::Equal) else { continue };
        let count = grid.count(grid.floor(query.start), grid.ceil(query.end));
        if count <= most {
            let explanation =
                fits(format!("{} is the finest that answers", source.relation()), count);
            return Ok(Choice {
                source,
                grid,
                reason: GranularityReason::FitsMaxPoints,
                explanation,
            });
        }
    }
    let (together, count) = days_together(query, most)?;
    let what = match together {
        1 => "days are the finest that answer".to_owned(),
        days => format!("{days} days together are the finest that answer"),
    };
    days(query, together, GranularityReason::FitsMaxPoints, fits(what, count))
}

/// The fewest days together of which at most so many answer the interval.
fn days_together(query: &AggregatedQuery, most: u64) -> Result<(i64, u64), QueryError> {
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
            let sentence =
                format!("is too small for the interval: {most} buckets of {MAX_WIDTH_DAYS} days do not cover it");
            QueryError::invalid("max_points", sentence)
        })
}

/// Days of the request's time zone.
fn days(
    query: &AggregatedQuery,
    days: i64,
    reason: GranularityReason,
    why: String,
) -> Result<Choice, QueryError> {
    let grid = days_grid(query, days)?;
    let source = made_from(&grid)?;
    let reason = match reason {
        GranularityReason::Requested if source != Granularity::Day => GranularityReason::TimeZone,
        reason => reason,
    };
    let explanation = match &query.time_zone {
        Some(zone) => format!(
            "{why}; days of {} made from {}",
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
        let sentence = format!(
            "has {count} buckets of local days; at most {MAX_LOCAL_DAYS} are answered with a time_zone"
        );
        return Err(QueryError::invalid("end", sentence));
    }
    Ok(buckets.grid(
        query.start,
        query.end,
        if query.gap_fill == GapFill::Last { LOOK_BACK } else { 0 },
    ))
}

/// The coarsest rollup that buckets are made of.
fn made_from(grid: &Grid) -> Result<Granularity, QueryError> {
    let made =
        |rollup: &Granularity| rollup.bucket_micros().is_some_and(|width| grid.is_made_of(width));
    Granularity::ROLLUPS.into_iter().rev().find(made).ok_or_else(|| {
        let sentence =
            "has days that begin within a minute, as before standard time; choose a later start";
        QueryError::invalid("time_zone", sentence)
    })
}

fn check_raw_is_kept(
    choice: &Choice,
    query: &AggregatedQuery,
    kept: &Kept,
    what: &str,
) -> Result<(), QueryError> {
    let (start, from) = (choice.grid.floor(query.start), kept.from(Granularity::Raw));
    if from <= start {
        return Ok(());
    }
    let sentence = format!(
        "{what} is computed from points, which are kept from {}; the first bucket begins at {}",
        time::display(from),
        time::display(start)
    );
    Err(QueryError::invalid("statistics", sentence))
}

/// Says what the answer has no data for, and which parts are coarser.
fn with_note(mut plan: Plan, kept: &Kept) -> Plan {
    for pair in plan.segments.windows(2) {
        if let [older, newer] = pair {
            let seam = time::display(newer.start);
            let (older, newer) = (older.source.relation(), newer.source.relation());
            plan.explanation +=
                &format!("; before {seam} from {older}, for {newer} is no longer kept there");
        }
    }
    if let Some(oldest) = plan.segments.first() {
        let from = kept.from(oldest.source);
        if from > oldest.start {
            let (relation, from) = (oldest.source.relation(), time::display(from));
            plan.explanation += &format!("; {relation} is kept from {from} only");
        }
    }
    plan
}

impl Plan {
    /// Where reading begins: before the interval for a fill by the last value.
    pub(crate) fn read_from(&self, fill: GapFill) -> i64 {
        match self.segments.first() {
            Some(oldest) if fill == GapFill::Last => oldest.grid.step(oldest.start, -LOOK_BACK),
            _ => self.start,
        }
    }
}

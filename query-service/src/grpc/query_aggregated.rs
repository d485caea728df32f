//! The handler of `QueryAggregated`.

use std::time::Instant;

use shared::granularity::Granularity;
use shared::proto::v1;
use shared::time;

use crate::deadline::Deadline;
use crate::error::QueryError;
use crate::plan::{self, Plan, Retention};
use crate::read_pool::ReadPool;
use crate::relations::Relations;
use crate::row_stream::{self, BucketStream, ResponseStream};
use crate::series::{Series, SeriesAnswer, SeriesFinder};
use crate::validate::{AggregatedQuery, GapFill};
use crate::{series, store, uncovered};

/// The maximum number of buckets of an answer whose gaps are filled, over all series.
const MAX_FILLED_BUCKETS: u64 = 10_000_000;
/// The maximum number of points, over all series, for statistics that no rollup stores.
const MAX_RAW_POINTS: u64 = 5_000_000;

pub(super) async fn handle(
    pool: ReadPool,
    relations: Relations,
    finder: SeriesFinder,
    deadline: Deadline,
    request: v1::QueryAggregatedRequest,
) -> Result<ResponseStream<v1::QueryAggregatedResponse>, QueryError> {
    let began = Instant::now();
    let query = AggregatedQuery::check(request)?;
    let retention = relations.retention(&pool, time::now_micros()).await?;
    let plan = plan::choose(&query, &retention)?;
    let series = finder.find(&query.selectors).await?;
    let mut plan = with_faster_source(&pool, &relations, &query, &retention, plan, &series).await?;
    plan.explanation +=
        &uncovered::note(&plan.segments, &relations.uncovered(&pool).await?).unwrap_or_default();
    let watermark = relations.watermark(&pool, plan.granularity()).await?;
    let series_count = series.len();
    let answers = if query.combine_devices {
        series::together(&query.selectors, &series)
    } else {
        series::each(series)
    };
    check_filled_buckets(&query, &plan, answers.len())?;
    check_raw_points(&pool, &query, &plan, &answers).await?;
    let AggregatedQuery { statistics, gap_fill, combine_devices, .. } = query;
    let stream = BucketStream {
        pool,
        relations,
        plan,
        answers,
        series_count,
        statistics,
        gap_fill,
        combine_devices,
        watermark,
        began,
    };
    Ok(row_stream::spawn(deadline, |frames| stream.run(frames)).await)
}

/// Lets AUTO read points instead of minutes if that is faster. Points must be kept for the whole
/// interval.
async fn with_faster_source(
    pool: &ReadPool,
    relations: &Relations,
    query: &AggregatedQuery,
    retention: &Retention,
    plan: Plan,
    series: &[Series],
) -> Result<Plan, QueryError> {
    let is_free = query.granularity.is_none()
        && retention.kept_from(Granularity::Raw) <= plan.read_from(query.gap_fill);
    if !is_free || !plan.may_read_points(series.len()) {
        return Ok(plan);
    }
    let ids: Vec<i32> = series.iter().map(|series| series.series_id).collect();
    let days = relations.days_of_points(pool, &ids, (plan.start, plan.end)).await?;
    Ok(plan.with_faster_source(&query.statistics, &days))
}

fn check_filled_buckets(
    query: &AggregatedQuery,
    plan: &Plan,
    answers: usize,
) -> Result<(), QueryError> {
    let buckets = plan.bucket_count().saturating_mul(answers as u64);
    if query.gap_fill == GapFill::None || buckets <= MAX_FILLED_BUCKETS {
        return Ok(());
    }
    let description = format!(
        "gives {buckets} buckets, {} for each of {answers} answers; \
         at most {MAX_FILLED_BUCKETS} are filled: \
         use wider buckets, a shorter interval or fewer series",
        plan.bucket_count()
    );
    Err(QueryError::invalid("gap_fill", description))
}

async fn check_raw_points(
    pool: &ReadPool,
    query: &AggregatedQuery,
    plan: &Plan,
    answers: &[SeriesAnswer],
) -> Result<(), QueryError> {
    let Some(what) = query.raw_only else { return Ok(()) };
    let series: Vec<i32> = answers.iter().flat_map(|answer| &answer.series).copied().collect();
    let found =
        store::count_up_to(pool, &series, (plan.start, plan.end), MAX_RAW_POINTS + 1).await?;
    if found <= MAX_RAW_POINTS {
        return Ok(());
    }
    let description = format!(
        "{what} is computed from points, and the interval has more than {MAX_RAW_POINTS}, \
         which is the limit: use a shorter interval or fewer series"
    );
    Err(QueryError::invalid("statistics", description))
}

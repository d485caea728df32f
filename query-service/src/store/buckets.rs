//! Reads buckets: directly from a rollup, grouped from a rollup, or computed from points.
//!
//! The statements differ in their source and columns. They are assembled from `sql/` and from the
//! constants below; every value is bound.

use shared::db::Micros;
use shared::granularity::Granularity;
use shared::proto::v1::Statistic;
use sqlx::AssertSqlSafe;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::postgres::types::PgInterval;

use super::{Bucket, Point, Source};
use crate::plan::{DAY, Grid};
use crate::read_pool::ReadPool;

/// Decodes a row: the bucket, the count, the queried columns, and the series id unless it is known.
/// Unchecked, because sqlx's comparison of types for each value takes as long as all the rest. The
/// types are those of the statement.
fn decode(row: &PgRow, queried: &[usize], series_id: Option<i32>) -> sqlx::Result<Bucket> {
    let mut numbers = [f64::NAN; COLUMNS.len()];
    for (at, &column) in queried.iter().enumerate() {
        numbers[column] = row.try_get_unchecked::<Option<f64>, _>(2 + at)?.unwrap_or(f64::NAN);
    }
    let [sum, min, max, first, last, variance, increase] = numbers;
    let start = row.try_get_unchecked::<Micros, _>(0)?.0;
    let count = row.try_get_unchecked::<i64, _>(1)?.unsigned_abs();
    let series_id = series_id.map_or_else(|| row.try_get_unchecked(2 + queried.len()), Ok)?;
    Ok(Bucket { series_id, start, count, sum, min, max, first, last, variance, increase })
}

/// The parameters of a statement that reads buckets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BucketRead<'a> {
    pub(crate) series: &'a [i32],
    /// Whether all series are combined into one answer.
    pub(crate) combined: bool,
    pub(crate) grid: &'a Grid,
    pub(crate) source: &'a Source,
    /// [start, end) in microseconds, on edges of the source's buckets. A bucket of the grid that
    /// extends beyond this range is read in part.
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) statistics: &'a [Statistic],
}

/// A column after the count. It has the statistics that need it, and its expression over one row of
/// a rollup, over several rows, and over points.
struct BucketColumn {
    needed_by: &'static [Statistic],
    of_rollup: &'static str,
    grouped: &'static str,
    of_points: &'static str,
}

/// The columns in the order of `Bucket`'s fields. The expressions over points are those of
/// `migrations/0006_rollups.sql`. The variance is computed from leading bits and rest, no division
/// can raise an error, and points of the same timestamp are ordered by value. Rows of a rollup have
/// distinct starts, so `first` and `last` have no ties there.
const COLUMNS: [BucketColumn; 7] = [
    BucketColumn {
        needed_by: &[Statistic::Avg, Statistic::Sum, Statistic::Stddev],
        of_rollup: "sum_value",
        grouped: "sum(sum_value)",
        of_points: "sum(value)",
    },
    BucketColumn {
        needed_by: &[Statistic::Min, Statistic::Avg],
        of_rollup: "min_value",
        grouped: "min(min_value)",
        of_points: "min(value)",
    },
    BucketColumn {
        needed_by: &[Statistic::Max, Statistic::Avg],
        of_rollup: "max_value",
        grouped: "max(max_value)",
        of_points: "max(value)",
    },
    BucketColumn {
        needed_by: &[Statistic::First],
        of_rollup: "first_value",
        grouped: "first(first_value, bucket)",
        of_points: r#"(min(ARRAY[_timescaledb_functions.to_unix_microseconds("timestamp")::float8, value]))[2]"#,
    },
    BucketColumn {
        needed_by: &[Statistic::Last],
        of_rollup: "last_value",
        grouped: "last(last_value, bucket)",
        of_points: r#"(max(ARRAY[_timescaledb_functions.to_unix_microseconds("timestamp")::float8, value]))[2]"#,
    },
    BucketColumn {
        needed_by: &[Statistic::Stddev],
        of_rollup: "variance",
        grouped: "combine_variance(ARRAY[count::float8, sum_value, variance * count])",
        of_points: "per_point(regr_sxx(value - leading_bits(value), leading_bits(value))
                              + regr_syy(value - leading_bits(value), leading_bits(value))
                              + 2 * regr_sxy(value - leading_bits(value), leading_bits(value)),
                              count(*))",
    },
    BucketColumn {
        needed_by: &[Statistic::Rate],
        of_rollup: NOTHING,
        grouped: NOTHING,
        of_points: "sum(increase)",
    },
];
/// The expression of a column that a rollup does not have. It is never queried there.
const NOTHING: &str = "NULL::float8";

/// Returns a subquery with the columns of the minute rollup, computed from points.
pub(super) fn minutes_of_points() -> String {
    let of_rollup = COLUMNS.iter().filter(|column| column.of_rollup != NOTHING);
    let columns: String =
        of_rollup.flat_map(|column| [", ", column.of_points, " AS ", column.of_rollup]).collect();
    include_str!("../sql/minutes_of_points.sql").replace("{columns}", &columns)
}

impl BucketRead<'_> {
    /// Returns the indexes of the columns that the statistics need.
    fn queried(&self) -> Vec<usize> {
        let is_queried = |column: &BucketColumn| {
            column.needed_by.iter().any(|statistic| self.statistics.contains(statistic))
        };
        (0..COLUMNS.len()).filter(|&column| is_queried(&COLUMNS[column])).collect()
    }

    fn columns(&self, text: fn(&BucketColumn) -> &'static str) -> String {
        self.queried().into_iter().flat_map(|column| [", ", text(&COLUMNS[column])]).collect()
    }

    /// Returns whether the grid is that of the source, so that its rows need no grouping.
    fn is_native(&self) -> bool {
        self.grid.width() == self.source.rows().bucket_micros()
            && !matches!(self.grid, Grid::Days { .. })
    }

    fn is_table(&self) -> bool {
        matches!(self.source, Source::Table { .. })
    }

    /// Returns the series id of all buckets: that of the only series, or 0 for combined series.
    /// Returns `None` if the rows have different ids.
    fn series_id(&self) -> Option<i32> {
        match self.series {
            _ if self.combined => Some(0),
            [one] => Some(*one),
            _ => None,
        }
    }

    /// Returns the start of the first bucket of the source that begins in the interval. Minutes of
    /// points are bounded by the timestamps of the points, so a part of a minute is left out here.
    fn first_bucket(&self) -> i64 {
        match self.source {
            Source::MinutesOfPoints => Granularity::Minute.ceil(self.start),
            _ => self.start,
        }
    }

    fn counts_increases(&self) -> bool {
        self.statistics.contains(&Statistic::Rate)
    }

    /// Returns the expression for the start of the bucket that contains the time in a column.
    fn bucket(&self, column: &str) -> String {
        match self.grid {
            _ if self.is_native() => column.to_owned(),
            Grid::Days { .. } => {
                format!("($4::timestamptz[])[width_bucket({column}, $4::timestamptz[])]")
            }
            _ => format!("time_bucket($4::interval, {column})"),
        }
    }

    fn statement(&self) -> String {
        let key = if self.series_id().is_some() { "" } else { ", series_id" };
        // A single series has its own statement, for which the database finds a generic plan.
        let series = if self.series.len() == 1 { "series_id = $1" } else { "series_id = ANY($1)" };
        let text = match self.source {
            Source::Points => include_str!("../sql/buckets_of_points.sql")
                .replace("{columns}", &self.columns(|column| column.of_points))
                .replace("{bucket}", &self.bucket(r#""timestamp""#))
                .replace(
                    "{points}",
                    if self.counts_increases() {
                        include_str!("../sql/points_with_increase.sql")
                    } else {
                        include_str!("../sql/points_of_buckets.sql")
                    },
                ),
            _ if self.is_native() && !self.combined => include_str!("../sql/buckets_of_rollup.sql")
                .replace("{columns}", &self.columns(|column| column.of_rollup)),
            _ => include_str!("../sql/buckets_grouped.sql")
                .replace("{columns}", &self.columns(|column| column.grouped))
                .replace("{bucket}", &self.bucket("bucket")),
        };
        // Several series of a table are looked up one by one in its index. With `= ANY`, the
        // planner may choose to compare each row with the whole list, if its statistics of the
        // table are poor.
        let rows = match self.series {
            _ if *self.source == Source::MinutesOfPoints => {
                include_str!("../sql/minute_rows_of_points.sql")
            }
            [_, _, ..] if self.is_table() => include_str!("../sql/rollup_rows_by_series.sql"),
            _ => include_str!("../sql/rollup_rows.sql"),
        };
        let text = text.replace("{rows}", rows);
        text.replace("{key}", key)
            .replace("{series}", series)
            .replace("{relation}", &self.source.relation())
    }
}

/// Returns the buckets that have points, in any order.
pub(crate) async fn buckets(pool: &ReadPool, read: &BucketRead<'_>) -> sqlx::Result<Vec<Bucket>> {
    let from_points = *read.source == Source::Points;
    let mut query = sqlx::query(AssertSqlSafe(read.statement()));
    query = match read.series {
        [one] if !from_points => query.bind(*one),
        several => query.persistent(read.is_table()).bind(several),
    };
    query = query.bind(Micros(read.first_bucket())).bind(Micros(read.end));
    query = match read.grid {
        Grid::Equal(width) if !read.is_native() => {
            query.bind(PgInterval { months: 0, days: 0, microseconds: *width })
        }
        grid @ Grid::Days { .. } => query.bind(
            grid.edges(grid.floor(read.start), read.end)
                .iter()
                .map(|&edge| Micros(edge))
                .collect::<Vec<_>>(),
        ),
        _ => query,
    };
    if from_points && read.counts_increases() {
        let back = read.grid.width().unwrap_or(DAY).max(DAY);
        query = query.bind(Micros(read.start.saturating_sub(back)));
        query = query.bind(PgInterval { months: 0, days: 0, microseconds: back });
    }
    let queried = read.queried();
    pool.named("buckets").decoded(query, |row| decode(row, &queried, read.series_id())).await
}

/// Returns the points of some series in [start, end) as buckets of their own, ordered by time and
/// value, at most `limit`. If the limit is reached, points of the last timestamp may be missing.
pub(crate) async fn points_as_buckets(
    pool: &ReadPool,
    series: &[i32],
    (start, end): (i64, i64),
    limit: i64,
) -> sqlx::Result<Vec<Bucket>> {
    let rows: Vec<(i32, Micros, f64)> =
        sqlx::query_as(include_str!("../sql/points_as_buckets.sql"))
            .persistent(false)
            .bind(series)
            .bind(Micros(start))
            .bind(Micros(end))
            .bind(limit)
            .fetch_all(&pool.named("points_as_buckets"))
            .await?;
    let point = |(series_id, time, value): (i32, Micros, f64)| {
        (series_id, Point { timestamp: time.0, value })
    };
    let mut buckets: Vec<Bucket> = rows.into_iter().map(point).map(Bucket::of).collect();
    // Sorts points of equal timestamps. To do this, the database would have to read all points of
    // the interval instead of a page.
    buckets.sort_by(|one, other| one.start.cmp(&other.start).then(one.sum.total_cmp(&other.sum)));
    Ok(buckets)
}

/// Returns the number of points of some series in [start, end). Stops counting at `limit`.
pub(crate) async fn count_up_to(
    pool: &ReadPool,
    series: &[i32],
    (start, end): (i64, i64),
    limit: u64,
) -> sqlx::Result<u64> {
    let count: i64 = sqlx::query_scalar(include_str!("../sql/count_up_to.sql"))
        .persistent(false)
        .bind(series)
        .bind(Micros(start))
        .bind(Micros(end))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_one(&pool.named("count_up_to"))
        .await?;
    Ok(count.unsigned_abs())
}

/// Returns the time range [start, end) of all points and rollups, or `None` if there are no chunks.
pub(crate) async fn extent(pool: &ReadPool) -> sqlx::Result<Option<(i64, i64)>> {
    let (start, end): (Option<i64>, Option<i64>) =
        sqlx::query_as(include_str!("../sql/extent.sql")).fetch_one(&pool.named("extent")).await?;
    Ok(start.zip(end))
}

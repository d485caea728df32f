//! The statements that read the state of the rollups.

use shared::granularity::Granularity;

use crate::read_pool::ReadPool;

/// The state of a rollup in the database. Times are in microseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Materialised {
    pub(crate) rollup: Granularity,
    pub(crate) watermark: i64,
    /// The quoted name of its table.
    pub(crate) table: String,
    /// The end of the refresh window of its policy at present.
    pub(crate) policy_reaches: i64,
    /// The end of the window of the policy's last successful run. If no run is known, a few buckets
    /// before the watermark.
    pub(crate) known_to: i64,
    /// The first time between `known_to` and the watermark that was written to since that run.
    pub(crate) disturbed_from: Option<i64>,
}

/// Whole days (UTC) that a rollup does not cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UncoveredDays {
    pub(crate) rollup: Granularity,
    /// The finer granularity that they are computed from.
    pub(crate) from: Granularity,
    /// [start, end) in microseconds.
    pub(crate) start: i64,
    pub(crate) end: i64,
}

/// Returns the state of each rollup that was ever materialised.
pub(crate) async fn materialised(pool: &ReadPool) -> sqlx::Result<Vec<Materialised>> {
    let rollups = Granularity::ROLLUPS;
    let rows: Vec<(String, i64, String, i64, i64, Option<i64>)> =
        sqlx::query_as(include_str!("../sql/materialised.sql"))
            .bind(rollups.map(Granularity::relation))
            .bind(rollups.map(|rollup| rollup.bucket_micros().unwrap_or_default()))
            .fetch_all(&pool.named("materialised"))
            .await?;
    let of_row = |(name, watermark, table, policy_reaches, known_to, disturbed_from): (
        String,
        _,
        _,
        _,
        _,
        _,
    )| {
        let rollup = rollups.into_iter().find(|rollup| rollup.relation() == name)?;
        Some(Materialised { rollup, watermark, table, policy_reaches, known_to, disturbed_from })
    };
    Ok(rows.into_iter().filter_map(of_row).collect())
}

/// Returns the days that rollups do not cover, by rollup. Days that are computed from a finer
/// relation come first.
pub(crate) async fn uncovered(pool: &ReadPool) -> sqlx::Result<Vec<UncoveredDays>> {
    let rows: Vec<(i32, i32, i64, i64)> = sqlx::query_as(include_str!("../sql/uncovered.sql"))
        .fetch_all(&pool.named("uncovered"))
        .await?;
    let levels = [Granularity::Raw, Granularity::Minute, Granularity::Hour, Granularity::Day];
    let level =
        |number: i32| usize::try_from(number).ok().and_then(|number| levels.get(number)).copied();
    let days = |(rollup, from, start, end): (i32, i32, i64, i64)| {
        Some(UncoveredDays { rollup: level(rollup)?, from: level(from)?, start, end })
    };
    Ok(rows.into_iter().filter_map(days).collect())
}

//! The settings of a database that say how far back it goes.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::config::DatabaseConfig;
use crate::granularity::Granularity;
use crate::history::{Conflict, HistorySettings, LookBack};

/// A relation: its name, whether a job refreshes it, how far back that looks, and how long it is kept.
type Row = (String, bool, Option<i64>, Option<i64>);

/// Reads the settings. The schema must be there.
///
/// # Errors
/// The database did not answer.
pub async fn history(connection: &mut PgConnection) -> sqlx::Result<HistorySettings> {
    let rows: Vec<Row> = sqlx::query_as(include_str!("history.sql")).fetch_all(connection).await?;
    let of = |relation: &str| rows.iter().find(|(name, ..)| name == relation);
    let look_back = |rollup: Granularity| match of(rollup.relation()) {
        Some((_, true, Some(micros), _)) => LookBack::Micros(*micros),
        Some((_, true, None, _)) => LookBack::Unbounded,
        _ => LookBack::Nothing,
    };
    let kept = |relation: &str| of(relation).and_then(|(.., kept)| *kept);
    let levels = [Granularity::Raw, Granularity::Minute, Granularity::Hour, Granularity::Day];
    Ok(HistorySettings {
        look_back: Granularity::ROLLUPS.map(look_back),
        kept: levels.map(|level| kept(level.relation())),
        producers_remembered: kept("producers"),
    })
}

/// Connects, and returns which settings do not go together where points up to this age are accepted.
///
/// # Errors
/// The database did not answer.
pub async fn history_conflicts(
    database: &DatabaseConfig,
    oldest_accepted: Duration,
) -> sqlx::Result<Vec<Conflict>> {
    let mut connection = super::connect(database, "tidegauge settings").await?;
    let settings = history(&mut connection).await?;
    connection.close().await?;
    Ok(settings.conflicts(oldest_accepted))
}

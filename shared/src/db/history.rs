//! Reads the database settings for retention and refresh windows.

use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::config::DatabaseConfig;
use crate::granularity::Granularity;
use crate::history::{Conflict, HistorySettings, LookBack};

/// Relation name, whether a job refreshes it, refresh window and retention in microseconds.
type Row = (String, bool, Option<i64>, Option<i64>);

/// Reads the settings. The schema must exist.
///
/// # Errors
/// The database did not respond.
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

/// Connects to the database and returns the settings that conflict with the maximum accepted age of
/// points.
///
/// # Errors
/// The database did not respond.
pub async fn history_conflicts(
    database: &DatabaseConfig,
    oldest_accepted: Duration,
) -> sqlx::Result<Vec<Conflict>> {
    let mut connection = super::connect(database, "tidegauge settings").await?;
    let settings = history(&mut connection).await?;
    connection.close().await?;
    Ok(settings.conflicts(oldest_accepted))
}

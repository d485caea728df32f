//! Compares the journal with what the database holds, device by device: for loads of which looking at every batch would take
//! longer than the load itself.

use shared::db;
use sqlx::postgres::PgConnection;

use super::checker::{Finding, series_ids};
use super::journal::Journal;
use crate::database::config;

impl Finding {
    /// Compares counts and sums. Everything that was sent must have been acknowledged, as after a load that nothing cut.
    pub(crate) async fn of_totals(database_url: &str, journal: Journal) -> anyhow::Result<Self> {
        let mut connection = db::connect(&config(database_url), "tidegauge checker").await?;
        let mut finding = Self { rounds: 1, ..Self::default() };
        for entry in journal.into_entries() {
            let sent = || 1..=entry.sent;
            let points: u64 = sent().map(|number| entry.content.points(number)).sum();
            let sum: f64 = sent().map(|number| entry.content.sum(number) as f64).sum(); // integers below 2^53: exact
            let (stored, stored_sum) = totals(&mut connection, &entry.content.device_id).await?;
            finding.acknowledged +=
                entry.acknowledged.iter().map(|&number| entry.content.points(number)).sum::<u64>();
            finding.doubled += stored.saturating_sub(points);
            // As many as were sent, and others: not one of them can be trusted.
            finding.lost += if stored == points && stored_sum != sum {
                points
            } else {
                points.saturating_sub(stored)
            };
        }
        Ok(finding)
    }
}

/// How many points of a device there are, and the sum of their values.
pub(crate) async fn totals(
    connection: &mut PgConnection,
    device_id: &str,
) -> sqlx::Result<(u64, f64)> {
    let mut totals = (0, 0.0);
    for series_id in series_ids(connection, device_id).await? {
        let statement = sqlx::query_as(include_str!("totals.sql")).bind(series_id);
        let (count, sum): (i64, f64) = statement.fetch_one(&mut *connection).await?;
        totals = (totals.0 + count.unsigned_abs(), totals.1 + sum);
    }
    Ok(totals)
}

//! Compares the journal with the stored points, device by device. This suits loads so large that
//! checking every batch would take longer than the load itself.

use shared::db;
use sqlx::postgres::PgConnection;

use super::checker::{Finding, series_ids};
use super::journal::Journal;
use crate::database::config;

impl Finding {
    /// Compares counts and sums. Everything sent must be acknowledged, as after a load without
    /// cuts.
    pub(crate) async fn of_totals(database_url: &str, journal: Journal) -> anyhow::Result<Self> {
        let mut connection = db::connect(&config(database_url), "tidegauge checker").await?;
        let mut finding = Self { rounds: 1, ..Self::default() };
        for entry in journal.into_entries() {
            let sent = || 1..=entry.sent;
            let points: u64 = sent().map(|number| entry.content.points(number)).sum();
            // Integers below 2^53 are exact.
            let sum: f64 = sent().map(|number| entry.content.sum(number) as f64).sum();
            let (stored, stored_sum) = totals(&mut connection, &entry.content.device_id).await?;
            finding.acknowledged +=
                entry.acknowledged.iter().map(|&number| entry.content.points(number)).sum::<u64>();
            finding.doubled += stored.saturating_sub(points);
            // The count matches, but the values differ: none of them can be trusted.
            finding.lost += if stored == points && stored_sum != sum {
                points
            } else {
                points.saturating_sub(stored)
            };
        }
        Ok(finding)
    }
}

/// Returns the number of points of a device and the sum of their values.
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

//! Compares the journal with the stored points, batch by batch.

use std::collections::BTreeMap;
use std::fmt;

use shared::db;
use sqlx::postgres::PgConnection;

use super::content::MAX_POINTS;
use super::journal::{Entry, Journal};
use crate::MEMORY_BOUND;
use crate::database::config;

/// Limit on the offending batches in the evidence.
const TOLD: usize = 10;

/// Result of a fault, in points.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    /// How often the fault struck.
    pub rounds: u32,
    /// Points in acknowledged batches.
    pub acknowledged: u64,
    /// Acknowledged points that are missing, and points missing from partly stored batches.
    pub lost: u64,
    /// Points that are stored more than once, or were never sent.
    pub doubled: u64,
    /// Peak memory of the service in MiB, if it was measured.
    pub peak_mib: Option<f64>,
    /// Descriptions of the first offending batches.
    pub evidence: Vec<String>,
}

impl Finding {
    /// Returns the text of the expected result.
    #[must_use]
    pub fn expected() -> String {
        format!(
            "points acknowledged, 0 lost, 0 doubled, memory below {MEMORY_BOUND} MiB where measured"
        )
    }

    /// Returns whether points were acknowledged, none lost or doubled, and memory stayed within its
    /// bound.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.acknowledged > 0
            && self.lost == 0
            && self.doubled == 0
            && self.peak_mib.is_none_or(|peak| peak < MEMORY_BOUND)
    }

    /// Compares a journal with the database.
    pub(crate) async fn compare(
        database_url: &str,
        journal: Journal,
        rounds: u32,
    ) -> anyhow::Result<Self> {
        let mut connection = db::connect(&config(database_url), "tidegauge checker").await?;
        let mut finding = Self { rounds, ..Self::default() };
        for entry in journal.into_entries() {
            let stored = stored(&mut connection, &entry.content.device_id).await?;
            finding.add(&entry, stored);
        }
        Ok(finding)
    }

    /// Adds the finding of another round.
    pub(super) fn add_round(&mut self, round: Self) {
        self.rounds += round.rounds;
        self.acknowledged += round.acknowledged;
        self.lost += round.lost;
        self.doubled += round.doubled;
        self.evidence.extend(round.evidence);
    }

    fn add(&mut self, entry: &Entry, mut stored: BTreeMap<u64, Stored>) {
        for number in 1..=entry.sent {
            let found = stored.remove(&number).unwrap_or_default();
            let acknowledged = entry.acknowledged.contains(&number);
            let points = entry.content.points(number);
            let sum = entry.content.sum(number);
            self.acknowledged += if acknowledged { points } else { 0 };
            if found.count == points && found.distinct == points && found.sum == sum as f64 {
                continue; // stored completely, exactly once
            }
            if found.count == 0 && !acknowledged {
                continue; // not stored, and never acknowledged
            }
            let doubled = found.count - found.distinct;
            let missing = points.saturating_sub(found.distinct);
            // The count matches, but the values differ: none of them can be trusted.
            self.lost += if missing == 0 && doubled == 0 { points } else { missing };
            self.doubled += doubled;
            self.tell(
                entry,
                number,
                format_args!("{points} points sent, acknowledged: {acknowledged}, {found:?}"),
            );
        }
        for (number, found) in stored {
            self.doubled += found.count;
            self.tell(entry, number, format_args!("never sent, {found:?}"));
        }
    }

    fn tell(&mut self, entry: &Entry, number: u64, what: fmt::Arguments<'_>) {
        if self.evidence.len() < TOLD {
            let kind = if entry.content.numbered { "numbered" } else { "unnumbered" };
            self.evidence
                .push(format!("{kind} batch {number} of {}: {what}", entry.content.device_id));
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, lost, doubled, .. } = self;
        write!(f, "{acknowledged} points acknowledged, {lost} lost, {doubled} doubled")?;
        self.peak_mib.map_or(Ok(()), |peak| write!(f, ", peak {peak:.0} MiB"))
    }
}

/// What the database holds for one batch.
#[derive(Debug, Default)]
struct Stored {
    count: u64,
    distinct: u64,
    sum: f64,
}

/// Returns the series ids of a device, so that points are read by id. Before the database has
/// statistics, a query by device name reads the points of all devices.
pub(super) async fn series_ids(
    connection: &mut PgConnection,
    device_id: &str,
) -> sqlx::Result<Vec<i32>> {
    let named = "SELECT series_id FROM series WHERE device_id = $1";
    sqlx::query_scalar(named).bind(device_id).fetch_all(connection).await
}

async fn stored(
    connection: &mut PgConnection,
    device_id: &str,
) -> sqlx::Result<BTreeMap<u64, Stored>> {
    let series_ids = series_ids(connection, device_id).await?;
    let rows: Vec<(i64, i64, i64, f64)> = sqlx::query_as(include_str!("batches.sql"))
        .bind(series_ids)
        .bind(MAX_POINTS as f64)
        .fetch_all(connection)
        .await?;
    let batch = |(number, count, distinct, sum): (i64, i64, i64, f64)| {
        let stored = Stored { count: count.unsigned_abs(), distinct: distinct.unsigned_abs(), sum };
        (number.unsigned_abs(), stored)
    };
    Ok(rows.into_iter().map(batch).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::content::Content;

    fn finding(acknowledged: bool, change: impl FnOnce(&mut Stored)) -> (u64, u64) {
        let content =
            Content { device_id: "d".to_owned(), numbered: true, began: 0, batch_points: 10 };
        let mut found = Stored {
            count: content.points(1),
            distinct: content.points(1),
            sum: content.sum(1) as f64,
        };
        change(&mut found);
        let entry = Entry {
            content,
            sent: 1,
            acknowledged: acknowledged.then_some(1).into_iter().collect(),
        };
        let mut finding = Finding::default();
        finding.add(&entry, BTreeMap::from([(1, found)]));
        assert_eq!((finding.lost, finding.doubled) == (0, 0), finding.evidence.is_empty());
        (finding.lost, finding.doubled)
    }

    #[test]
    fn what_is_missing_doubled_or_changed_is_found() {
        let points =
            Content { device_id: String::new(), numbered: true, began: 0, batch_points: 10 }
                .points(1);
        assert_eq!(finding(true, |_| ()), (0, 0));
        assert_eq!(finding(true, |found| *found = Stored::default()), (points, 0));
        assert_eq!(
            finding(false, |found| *found = Stored::default()),
            (0, 0),
            "a batch that was not acknowledged may be missing"
        );
        assert_eq!(
            finding(false, |found| (found.count, found.distinct) = (1, 1)),
            (points - 1, 0),
            "a batch must be stored completely or not at all"
        );
        assert_eq!(finding(false, |found| found.count *= 2), (0, points));
        assert_eq!(
            finding(true, |found| found.distinct -= 1),
            (1, 1),
            "one point is stored twice, another is missing"
        );
        assert_eq!(finding(true, |found| found.sum += 1.0), (points, 0));
    }
}

//! Statements of the resolver, on one connection that is dropped after any error.

use std::time::Duration;

use shared::config::DatabaseConfig;
use shared::db;
use sqlx::postgres::PgConnection;

use super::SeriesKey;
use crate::metrics::Metrics;

/// Connection that looks up and creates series.
pub(super) struct SeriesCreator {
    database: DatabaseConfig,
    timeout: Duration,
    connection: Option<PgConnection>,
    pub(super) metrics: Metrics,
}

impl SeriesCreator {
    pub(super) fn new(database: DatabaseConfig, timeout: Duration, metrics: Metrics) -> Self {
        Self { database, timeout, connection: None, metrics }
    }

    /// Returns the position and id of each existing key. Creates missing keys first if `creates` is
    /// set.
    ///
    /// Keys must be sorted, so that two services that create the same series at once take their
    /// locks in the same order.
    pub(super) async fn find(
        &mut self,
        keys: &[SeriesKey],
        creates: bool,
    ) -> sqlx::Result<Vec<(usize, i32)>> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => db::connect(&self.database, "tidegauge series").await?,
        };
        let statements = self.metrics.statements();
        let work = async {
            if creates {
                let created =
                    statements.run("INSERT series", create(&mut connection, keys)).await?;
                self.metrics.series_created(created);
            }
            // Look up all keys, because another service may have created some of them meanwhile.
            statements.run("SELECT series", find(&mut connection, keys)).await
        };
        let found = db::within(self.timeout, work).await?;
        self.connection = Some(connection); // only after success
        Ok(found)
    }
}

async fn find(
    connection: &mut PgConnection,
    keys: &[SeriesKey],
) -> sqlx::Result<Vec<(usize, i32)>> {
    let devices: Vec<&str> = keys.iter().map(|key| &*key.device_id).collect();
    let metrics: Vec<&str> = keys.iter().map(|key| &*key.metric_name).collect();
    let rows: Vec<(i64, i32)> = sqlx::query_as(include_str!("../sql/series_find.sql"))
        .bind(devices)
        .bind(metrics)
        .fetch_all(connection)
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(position, id)| Some((usize::try_from(position).ok()?.checked_sub(1)?, id)))
        .collect())
}

/// Creates missing series. Returns their number.
async fn create(connection: &mut PgConnection, keys: &[SeriesKey]) -> sqlx::Result<u64> {
    let devices: Vec<&str> = keys.iter().map(|key| &*key.device_id).collect();
    let metrics: Vec<&str> = keys.iter().map(|key| &*key.metric_name).collect();
    let statement = sqlx::query(include_str!("../sql/series_create.sql"));
    Ok(statement.bind(devices).bind(metrics).execute(connection).await?.rows_affected())
}

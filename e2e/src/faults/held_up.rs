//! Ledger rows that somebody holds: a service that is stopped in the middle of a transaction, or a session of SQL.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use shared::db;
use sqlx::Connection as _;
use tokio::time::Instant;

use super::load::{Load, Shape};
use super::{Finding, Setting};
use crate::database::config;

/// Within which time producers must go on that a stopped service holds up.
const BOUND: Duration = Duration::from_secs(10);
/// For how long rows are locked from SQL.
const LOCKED: Duration = Duration::from_secs(8);

/// Stops an instance under load. Its producers move to another one, and must go on there in time.
pub(super) async fn instance_stopped(setting: &Setting) -> anyhow::Result<Finding> {
    let other = setting.start_service().await?;
    let mut finding = Finding::default();
    for _ in 0..setting.rounds {
        let service = setting.start_service().await?;
        let mut load = Load::start(service.url(), &Shape::STEADY);
        load.progress().await?;
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..20_000))).await;
        service.signal("STOP").await?;
        load.go_to(other.url());
        let stopped = Instant::now();
        load.every_numbered_client_goes_on().await?;
        let waited = stopped.elapsed();
        ensure!(waited < BOUND, "producers of a stopped instance went on only after {waited:?}");
        service.kill().await?;
        finding.add_round(Finding::compare(&setting.database_url, load.finish().await?, 1).await?);
    }
    Ok(finding)
}

/// Locks the ledger rows of some producers from SQL. The others go on meanwhile, and these do afterwards.
pub(super) async fn rows_locked(setting: &Setting) -> anyhow::Result<Finding> {
    let service = setting.start_service().await?;
    let mut load =
        Load::start(service.url(), &Shape { numbered: 12, unnumbered: 0, ..Shape::STEADY });
    load.progress().await?;
    for _ in 0..setting.rounds {
        let locked: Vec<String> = load.journal.devices().into_iter().take(4).collect();
        let mut connection = db::connect(&config(&setting.database_url), "tidegauge test").await?;
        let mut transaction = connection.begin().await?;
        let lock = "SELECT producer_id FROM producers WHERE producer_id = ANY ($1) ORDER BY producer_id FOR UPDATE";
        // The transaction is idle meanwhile, which the server would end.
        sqlx::raw_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            .execute(&mut *transaction)
            .await?;
        let rows = sqlx::query(lock).bind(&locked).fetch_all(&mut *transaction).await?;
        ensure!(rows.len() == locked.len(), "{} of {} rows are locked", rows.len(), locked.len());
        let mut before = load.journal.acknowledged_by_device();
        let until = Instant::now() + LOCKED;
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let now = load.journal.acknowledged_by_device();
            for (device, count) in now.iter().filter(|(device, _)| !locked.contains(device)) {
                let earlier = before.get(device).context("a new device")?;
                ensure!(
                    count > earlier,
                    "{device} stood still for 2 s while other producers were locked"
                );
            }
            before = now;
        }
        transaction.rollback().await?;
        connection.close().await?;
        load.every_numbered_client_goes_on().await?;
    }
    Finding::compare(&setting.database_url, load.finish().await?, setting.rounds).await
}

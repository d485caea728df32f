//! Ledger rows are locked, by a service stopped in the middle of a transaction or by an SQL
//! session.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use shared::db;
use sqlx::Connection as _;
use tokio::time::Instant;

use super::load::{Load, Shape};
use super::{Finding, Setting};
use crate::database::config;

/// Time limit for producers of a stopped service to make progress elsewhere.
const BOUND: Duration = Duration::from_secs(10);
/// How long SQL holds the row locks.
const LOCKED: Duration = Duration::from_secs(8);

/// Stops an instance under load. Its producers move to another instance and must make progress
/// there within `BOUND`.
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
        ensure!(
            waited < BOUND,
            "producers of a stopped instance made no progress for {waited:?}, limit {BOUND:?}"
        );
        service.kill().await?;
        finding.add_round(Finding::compare(&setting.database_url, load.finish().await?, 1).await?);
    }
    Ok(finding)
}

/// Locks the ledger rows of some producers from SQL. Other producers make progress meanwhile. The
/// locked ones do afterwards.
pub(super) async fn rows_locked(setting: &Setting) -> anyhow::Result<Finding> {
    let service = setting.start_service().await?;
    let mut load =
        Load::start(service.url(), &Shape { numbered: 12, unnumbered: 0, ..Shape::STEADY });
    load.progress().await?;
    for _ in 0..setting.rounds {
        let locked: Vec<String> = load.journal.devices().into_iter().take(4).collect();
        let mut connection = db::connect(&config(&setting.database_url), "tidegauge test").await?;
        let mut transaction = connection.begin().await?;
        let lock = "SELECT producer_id FROM producers WHERE producer_id = ANY ($1) \
                    ORDER BY producer_id FOR UPDATE";
        // The server would otherwise end the transaction, which stays idle while it holds the
        // locks.
        sqlx::raw_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            .execute(&mut *transaction)
            .await?;
        let rows = sqlx::query(lock).bind(&locked).fetch_all(&mut *transaction).await?;
        ensure!(rows.len() == locked.len(), "locked {} of {} rows", rows.len(), locked.len());
        let mut before = load.journal.acknowledged_by_device();
        let until = Instant::now() + LOCKED;
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let now = load.journal.acknowledged_by_device();
            for (device, count) in now.iter().filter(|(device, _)| !locked.contains(device)) {
                let earlier = before.get(device).context("an unexpected device")?;
                ensure!(
                    count > earlier,
                    "{device} made no progress for 2 s while other producers were locked"
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

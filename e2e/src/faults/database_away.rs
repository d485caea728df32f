//! The database is unreachable for a while under full load. Clients are held back, memory stays
//! within its bound, then traffic resumes.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::sync::watch;

use super::load::{Load, Shape};
use super::{Finding, Setting};
use crate::{IngestProcess, Proxy};

/// Clients count as held back if no batch is accepted for this long.
const STANDSTILL: Duration = Duration::from_millis(500);

pub(super) async fn run(setting: &Setting) -> anyhow::Result<Finding> {
    let proxy = Proxy::start(&setting.database_url, true).await;
    let service =
        IngestProcess::start(&setting.ingest_service, &proxy.url(&setting.database_url)).await?;
    let unnumbered = setting.full_load / 4;
    // The client window is unlimited, so that only the service can hold clients back.
    let shape = Shape {
        numbered: setting.full_load - unnumbered,
        unnumbered,
        window: u64::MAX,
        batch_points: 10_000,
    };
    let mut load = Load::start(service.url(), &shape);
    load.progress().await?;
    let gone = tokio::time::Instant::now();
    proxy.set_open(false);
    let held_up = tokio::time::timeout(setting.away, stand_still(load.journal.watch_sent()));
    held_up.await.with_context(|| {
        format!("clients were not held back within {:?} of losing the database", setting.away)
    })?;
    let held_up = *load.journal.watch_sent().borrow();
    tokio::time::sleep_until(gone + setting.away).await;
    let sent = *load.journal.watch_sent().borrow() - held_up;
    ensure!(
        sent == 0,
        "{sent} batches were sent after clients were held back, with the database still away"
    );
    proxy.set_open(true);
    load.progress().await?;
    let finding = Finding::compare(&setting.database_url, load.finish().await?, 1).await?;
    Ok(Finding { peak_mib: service.peak_mib(), ..finding })
}

async fn stand_still(mut sent: watch::Receiver<u64>) {
    while tokio::time::timeout(STANDSTILL, sent.changed()).await.is_ok() {}
}

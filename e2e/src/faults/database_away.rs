//! The database is away for a while under full load: clients are held up, memory stays in its bound, then all goes on.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::sync::watch;

use super::load::{Load, Shape};
use super::{Finding, Setting};
use crate::{IngestProcess, Proxy};

/// No batch can be handed over for so long: the clients are held up.
const STANDSTILL: Duration = Duration::from_millis(500);

pub(super) async fn run(setting: &Setting) -> anyhow::Result<Finding> {
    let proxy = Proxy::start(&setting.database_url, true).await;
    let service =
        IngestProcess::start(&setting.ingest_service, &proxy.url(&setting.database_url)).await?;
    let unnumbered = setting.full_load / 4;
    // What holds the clients up must be the service, so their own window does not.
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
        format!("clients still send when the database is away for {:?}", setting.away)
    })?;
    let held_up = *load.journal.watch_sent().borrow();
    tokio::time::sleep_until(gone + setting.away).await;
    let sent = *load.journal.watch_sent().borrow() - held_up;
    ensure!(
        sent == 0,
        "clients were held up and then sent {sent} batches though the database was away"
    );
    proxy.set_open(true);
    load.progress().await?;
    let finding = Finding::compare(&setting.database_url, load.finish().await?, 1).await?;
    Ok(Finding { peak_mib: service.peak_mib(), ..finding })
}

async fn stand_still(mut sent: watch::Receiver<u64>) {
    while tokio::time::timeout(STANDSTILL, sent.changed()).await.is_ok() {}
}

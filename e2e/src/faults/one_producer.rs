//! One producer at several instances: two streams in parallel, moves between instances, many
//! clients with one batch.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use tokio::task::JoinSet;

use super::client::Stream;
use super::journal::Journal;
use super::load::{Load, PATIENCE, Shape, content};
use super::{Finding, Setting};

/// Number of clients that send the same batch.
const CLIENTS: usize = 32;

/// Sends the same batches over two streams, through two instances. Each round uses new producers,
/// because the two streams settle early which one leads.
pub(super) async fn two_streams(setting: &Setting) -> anyhow::Result<Finding> {
    let services = [setting.start_service().await?, setting.start_service().await?];
    let urls = [services[0].url(), services[1].url()];
    let mut finding = Finding::default();
    for _ in 0..setting.rounds {
        let mut load = Load::start_twice(urls, &Shape::STEADY);
        load.progress().await?;
        finding.add_round(Finding::compare(&setting.database_url, load.finish().await?, 1).await?);
    }
    Ok(finding)
}

/// Moves producers back and forth between two instances, with batches in flight each time.
pub(super) async fn moves(setting: &Setting) -> anyhow::Result<Finding> {
    let services = [setting.start_service().await?, setting.start_service().await?];
    let mut load = Load::start(services[0].url(), &Shape::STEADY);
    for service in services.iter().rev().cycle().take(setting.rounds as usize) {
        load.progress().await?;
        load.go_to(service.url());
    }
    load.progress().await?;
    Finding::compare(&setting.database_url, load.finish().await?, setting.rounds).await
}

/// Sends the same batch from 32 clients in parallel, through two instances, then the next batch.
pub(super) async fn same_batch(setting: &Setting) -> anyhow::Result<Finding> {
    let services = [setting.start_service().await?, setting.start_service().await?];
    let content = content(true, Shape::STEADY.batch_points);
    let journal = Arc::new(Journal::new());
    let mut streams = Vec::new();
    for service in services.iter().cycle().take(CLIENTS) {
        streams.push(Stream::open_when_served(service.url()).await?);
    }
    let mut accepted = 0;
    for number in 1..=u64::from(setting.rounds) {
        journal.sent(&content, number);
        let mut clients = JoinSet::new();
        for mut stream in streams.drain(..) {
            let batch = content.batch(number);
            clients.spawn(async move { (stream.exchange(batch).await, stream) });
        }
        while let Some(answered) = tokio::time::timeout(PATIENCE, clients.join_next()).await? {
            let (result, stream) = answered?;
            let result = result?;
            accepted += if result.is_duplicate { 0 } else { result.accepted_count };
            streams.push(stream);
            journal.acknowledged(&content, number);
        }
    }
    let journal = Arc::into_inner(journal).context("a client still holds the journal")?;
    let finding = Finding::compare(&setting.database_url, journal, setting.rounds).await?;
    let told_once = accepted == finding.acknowledged || !finding.holds();
    ensure!(
        told_once,
        "{} points are stored, but {accepted} were reported as accepted",
        finding.acknowledged
    );
    Ok(finding)
}

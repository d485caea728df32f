//! The service is killed with SIGKILL at random moments under load. Clients resend batches in
//! flight to the next process.

use std::time::Duration;

use super::load::{Load, Shape};
use super::{Finding, Setting};

pub(super) async fn run(setting: &Setting) -> anyhow::Result<Finding> {
    let mut service = setting.start_service().await?;
    let mut load = Load::start(service.url(), &Shape::STEADY);
    for _ in 0..setting.rounds {
        load.progress().await?;
        // The test sees progress right after a commit. The random pause lets the kill strike
        // anywhere between two commits.
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..20_000))).await;
        service.kill().await?;
        service = setting.start_service().await?;
        load.go_to(service.url());
    }
    load.progress().await?;
    Finding::compare(&setting.database_url, load.finish().await?, setting.rounds).await
}

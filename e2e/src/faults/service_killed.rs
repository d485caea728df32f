//! SIGKILL at random moments under load; what was in flight is sent again to the next process.

use std::time::Duration;

use super::load::{Load, Shape};
use super::{Finding, Setting};

pub(super) async fn run(setting: &Setting) -> anyhow::Result<Finding> {
    let mut service = setting.start_service().await?;
    let mut load = Load::start(service.url(), &Shape::STEADY);
    for _ in 0..setting.rounds {
        load.progress().await?;
        // Progress is seen right after a commit; the fault strikes anywhere between two.
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..20_000))).await;
        service.kill().await?;
        service = setting.start_service().await?;
        load.go_to(service.url());
    }
    load.progress().await?;
    Finding::compare(&setting.database_url, load.finish().await?, setting.rounds).await
}

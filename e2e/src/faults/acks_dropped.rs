//! Acknowledgements are lost between service and client, then the connection breaks. Clients resend
//! what they must assume was not stored.

use std::time::Duration;

use anyhow::Context as _;

use super::load::{Load, PATIENCE, Shape};
use super::{Finding, Setting};
use crate::Proxy;

pub(super) async fn run(setting: &Setting) -> anyhow::Result<Finding> {
    let service = setting.start_service().await?;
    let address = service.url().trim_start_matches("http://").to_owned();
    let proxy = Proxy::to(address, true).await;
    let mut load = Load::start(&format!("http://{}", proxy.address()), &Shape::STEADY);
    for _ in 0..setting.rounds {
        load.progress().await?;
        // Loses one acknowledgement or a few (each takes about 40 bytes), at a random moment.
        let swallowed =
            tokio::time::timeout(PATIENCE, proxy.swallow_answers(rand::random_range(1..250))).await;
        swallowed.context("the service sends no answers")?;
        tokio::time::sleep(Duration::from_micros(rand::random_range(0..50_000))).await;
        proxy.cut();
    }
    load.progress().await?;
    Finding::compare(&setting.database_url, load.finish().await?, setting.rounds).await
}

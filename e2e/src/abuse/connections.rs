//! More connections than the service allows.

use anyhow::Context as _;
use tokio::net::TcpStream;

use super::caller::{Caller, code};
use super::program::Program;
use super::{Outcome, PATIENCE, Setting};
use crate::{batch, now, point, unique};

const MOST: usize = 20;

pub(super) async fn run(setting: &Setting) -> anyhow::Result<Vec<Outcome>> {
    let folder = tempfile::tempdir()?;
    let device = unique("connections");
    let variables = [("TIDEGAUGE_MAX_CONNECTIONS", MOST.to_string())];
    let log = folder.path().join("ingest.log");
    let service =
        Program::start(&setting.ingest_service, &setting.database_url, &variables, log).await?;
    let early = Caller::connect_plain(&service.address).await?;
    early.wait_until_ready().await?;
    early.send(batch(vec![point(&device, now(), 1.0)])).await?;
    let mut idle = Vec::new();
    for _ in 1..MOST {
        idle.push(TcpStream::connect(&service.address).await?);
    }
    let late = attempt(&service, &device).await;
    let still = code(&early.send(batch(vec![point(&device, now(), 2.0)])).await);
    service.wait_for_log("connection refused: limit of 20 connections reached").await?;
    drop(idle);
    let again = async {
        while attempt(&service, &device).await != "Ok" {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again)
        .await
        .context("no new connection is served although idle ones were closed")?;
    Ok(vec![
        Outcome::exactly("one_connection_too_many", "ResourceExhausted", late),
        Outcome::exactly("connections_that_are_there", "Ok", still),
    ])
}

async fn attempt(service: &Program, device: &str) -> String {
    match Caller::connect_plain(&service.address).await {
        Ok(caller) => code(&caller.send(batch(vec![point(device, now(), 3.0)])).await),
        Err(_) => "Unavailable".to_owned(),
    }
}

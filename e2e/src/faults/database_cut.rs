//! The connection to the database is cut at a given moment of the protocol. The clients' calls stay
//! open.

use anyhow::Context as _;

use super::load::{Load, PATIENCE, Shape};
use super::{Finding, Setting};
use crate::{CuttingProxy, IngestProcess, Moment};

pub(super) async fn run(setting: &Setting, moment: Moment) -> anyhow::Result<Finding> {
    let proxy = CuttingProxy::start(&setting.database_url).await;
    let service =
        IngestProcess::start(&setting.ingest_service, &proxy.url(&setting.database_url)).await?;
    let mut load = Load::start(service.url(), shape(moment));
    for _ in 0..setting.rounds {
        load.progress().await?;
        let cut = tokio::time::timeout(PATIENCE, proxy.cut(moment)).await;
        cut.with_context(|| format!("no connection reached {moment:?} within {PATIENCE:?}"))?;
    }
    load.progress().await?;
    Finding::compare(&setting.database_url, load.finish().await?, setting.rounds).await
}

/// Returns a load that reaches the moment. Only small flushes are written with a single statement.
fn shape(moment: Moment) -> &'static Shape {
    match moment {
        Moment::AtOnceLate | Moment::AtOnceAnswerWithheld => &Shape::LIGHT,
        _ => &Shape::STEADY,
    }
}

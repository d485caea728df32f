//! Points into other time-series databases, each fresh for every measurement, over line protocol.

use std::path::Path;
use std::time::Duration;

use prost::bytes::Bytes;

use super::render;
use super::shape::{BATCH_POINTS, Shape};
use crate::bench::rival::{Rival, RivalServer};

/// Writes all points of a shape, and says how long the answers took. Checks that the rival has them all.
pub(super) async fn write(rival: Rival, shape: &Shape, scratch: &Path) -> anyhow::Result<Duration> {
    let server = RivalServer::start(rival, scratch).await?;
    server.post(bodies(&shape.warm_up()).into_iter()).await?;
    let elapsed = server.post(bodies(shape).into_iter()).await?;
    server.wait_until_visible((shape.points() + shape.warm_up().points()) as u64).await?;
    server.stop().await?;
    Ok(elapsed)
}

fn bodies(shape: &Shape) -> Vec<Bytes> {
    shape.parts(BATCH_POINTS).map(|part| render::lines(shape, &part)).collect()
}

//! Writes points into other time-series databases as line protocol. Each measurement starts a new
//! server.

use std::path::Path;
use std::time::Duration;

use prost::bytes::Bytes;

use super::render;
use super::shape::{BATCH_POINTS, Shape};
use crate::bench::rival::{Rival, RivalServer};

/// Writes all points of a shape. Returns the time until the last response. Fails unless the rival
/// then returns the right number of points.
pub(super) async fn write(rival: Rival, shape: &Shape, scratch: &Path) -> anyhow::Result<Duration> {
    let server = RivalServer::start(rival, scratch).await?;
    server.post(bodies(&shape.warm_up()).into_iter()).await?;
    let elapsed = server.post(bodies(shape).into_iter()).await?;
    server.wait_until_visible((shape.points() + shape.warm_up().points()) as u64).await?;
    server.stop().await?;
    Ok(elapsed)
}

fn bodies(shape: &Shape) -> Vec<Bytes> {
    shape.split(BATCH_POINTS).map(|range| render::lines(shape, &range)).collect()
}

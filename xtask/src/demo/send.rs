//! Sends points in the two usual ways. Gateways send numbered batches over streams, in columnar
//! form. Scripts send rows in single calls.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use shared::proto::v1::{Batch, IngestBatchRequest, IngestRequest, Producer, SeriesPoints};
use shared::time;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::services::ingest_client;
use super::simulate::Fleet;
use super::weather::Weather;

/// Number of gateways. Each sends over a stream of its own, and all send at the same time.
const GATEWAYS: usize = 4;
/// Approximate number of points in a batch.
const BATCH_POINTS: usize = 10_000;
/// Number of readings in one call.
const ROWS_PER_CALL: usize = 1_000;

/// Streams all points of the fleet. Returns the number of accepted points.
pub(super) async fn fleet(ingest: &Channel, fleet: &Fleet) -> anyhow::Result<u64> {
    let style = "  {bar:40} {pos}/{len} points  {per_sec}  {eta} left";
    let progress =
        ProgressBar::new(fleet.points() as u64).with_style(ProgressStyle::with_template(style)?);
    progress.enable_steady_tick(Duration::from_millis(200));
    let mut gateways = JoinSet::new();
    let mut queues = Vec::new();
    for gateway in 0..GATEWAYS {
        let (queue, batches) = mpsc::channel(2);
        let mut client = ingest_client(ingest);
        gateways.spawn(async move { client.ingest(ReceiverStream::new(batches)).await });
        queues.push(Gateway {
            numbering: BatchNumbering::new(gateway),
            queue,
            unsent: Vec::new(),
            points: 0,
        });
    }
    for device in 0..fleet.devices() {
        let gateway = &mut queues[device % GATEWAYS];
        if !gateway.send(fleet.series_of(device), &progress).await {
            break; // The stream has ended. Its result below says why.
        }
    }
    for mut gateway in queues {
        gateway.flush(&progress).await;
    }
    let mut accepted = 0;
    while let Some(answer) = gateways.join_next().await {
        let summary = answer?.context("a stream failed")?.into_inner();
        ensure!(
            summary.rejected_count == 0,
            "points were rejected, the first one: {:?}",
            summary.rejections.first()
        );
        accepted += summary.accepted_count;
    }
    progress.finish();
    Ok(accepted)
}

/// A sender with one stream, which collects series into batches.
struct Gateway {
    numbering: BatchNumbering,
    queue: mpsc::Sender<IngestRequest>,
    unsent: Vec<SeriesPoints>,
    /// Number of points in `unsent`.
    points: usize,
}

impl Gateway {
    /// Adds series, and sends a batch once it is large enough. Returns `false` if the stream has
    /// ended.
    async fn send(&mut self, series: Vec<SeriesPoints>, progress: &ProgressBar) -> bool {
        self.points += series.iter().map(|series| series.values.len()).sum::<usize>();
        self.unsent.extend(series);
        self.points < BATCH_POINTS || self.flush(progress).await
    }

    /// Sends the unsent series as one batch. Returns `false` if the stream has ended.
    async fn flush(&mut self, progress: &ProgressBar) -> bool {
        let points = std::mem::take(&mut self.points);
        if points == 0 {
            return true;
        }
        let batch = Batch { series: std::mem::take(&mut self.unsent), ..self.numbering.next() };
        let sent = self.queue.send(IngestRequest { batch: Some(batch) }).await.is_ok();
        progress.inc(points as u64);
        sent
    }
}

/// Numbers the batches of a gateway, so that a resent batch is not stored twice.
struct BatchNumbering {
    producer: Producer,
    sequence: u64,
}

impl BatchNumbering {
    fn new(gateway: usize) -> Self {
        let epoch = time::now_micros().unsigned_abs();
        Self {
            producer: Producer { producer_id: format!("demo-gateway-{gateway}"), epoch },
            sequence: 0,
        }
    }

    /// Returns an empty batch with the next sequence.
    fn next(&mut self) -> Batch {
        self.sequence += 1;
        Batch {
            producer: Some(self.producer.clone()),
            sequence: self.sequence,
            ..Default::default()
        }
    }
}

/// Sends the readings as rows. Returns the number of accepted readings.
pub(super) async fn weather(ingest: &Channel, weather: &Weather) -> anyhow::Result<u64> {
    let mut client = ingest_client(ingest);
    let mut accepted = 0;
    for rows in weather.points.chunks(ROWS_PER_CALL) {
        let batch = Some(Batch { points: rows.to_vec(), ..Default::default() });
        let answer = client.ingest_batch(IngestBatchRequest { batch }).await?.into_inner();
        let result = answer.result.context("ingest-service sent no result")?;
        ensure!(
            result.rejected_count == 0,
            "readings were rejected, the first one: {:?}",
            result.rejections.first()
        );
        accepted += result.accepted_count;
    }
    Ok(accepted)
}

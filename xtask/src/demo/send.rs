//! Sending, as gateways and scripts do it: batches of numbered producers over several streams, and row form in one call.

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

/// Streams that send at the same time.
const GATEWAYS: usize = 4;
/// Points of a batch, about.
const BATCH_POINTS: usize = 10_000;
/// Readings in one call of row form.
const ROWS: usize = 1_000;

/// Streams all points of the fleet and says how many were accepted.
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
            numbered: Numbered::new(gateway),
            queue,
            waiting: Vec::new(),
            points: 0,
        });
    }
    for device in 0..fleet.devices() {
        let gateway = &mut queues[device % GATEWAYS];
        if !gateway.send(fleet.series_of(device), &progress).await {
            break; // its stream has ended, and says why below
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
            "points were rejected: {:?}",
            summary.rejections.first()
        );
        accepted += summary.accepted_count;
    }
    progress.finish();
    Ok(accepted)
}

struct Gateway {
    numbered: Numbered,
    queue: mpsc::Sender<IngestRequest>,
    waiting: Vec<SeriesPoints>,
    points: usize,
}

impl Gateway {
    /// `false` where the stream has ended.
    async fn send(&mut self, series: Vec<SeriesPoints>, progress: &ProgressBar) -> bool {
        self.points += series.iter().map(|series| series.values.len()).sum::<usize>();
        self.waiting.extend(series);
        self.points < BATCH_POINTS || self.flush(progress).await
    }

    async fn flush(&mut self, progress: &ProgressBar) -> bool {
        let points = std::mem::take(&mut self.points);
        if points == 0 {
            return true;
        }
        let batch = Batch { series: std::mem::take(&mut self.waiting), ..self.numbered.next() };
        let sent = self.queue.send(IngestRequest { batch: Some(batch) }).await.is_ok();
        progress.inc(points as u64);
        sent
    }
}

/// Numbers batches, so that sending one twice would not store it twice.
struct Numbered {
    producer: Producer,
    sequence: u64,
}

impl Numbered {
    fn new(gateway: usize) -> Self {
        let epoch = time::now_micros().unsigned_abs();
        Self {
            producer: Producer { producer_id: format!("demo-gateway-{gateway}"), epoch },
            sequence: 0,
        }
    }

    fn next(&mut self) -> Batch {
        self.sequence += 1;
        Batch {
            producer: Some(self.producer.clone()),
            sequence: self.sequence,
            ..Default::default()
        }
    }
}

/// Sends the readings in row form, a thousand a call, and says how many were accepted.
pub(super) async fn weather(ingest: &Channel, weather: &Weather) -> anyhow::Result<u64> {
    let mut client = ingest_client(ingest);
    let mut accepted = 0;
    for rows in weather.points.chunks(ROWS) {
        let batch = Some(Batch { points: rows.to_vec(), ..Default::default() });
        let answer = client.ingest_batch(IngestBatchRequest { batch }).await?.into_inner();
        let result = answer.result.context("no result")?;
        ensure!(
            result.rejected_count == 0,
            "readings were rejected: {:?}",
            result.rejections.first()
        );
        accepted += result.accepted_count;
    }
    Ok(accepted)
}

//! SIGTERM with streams open, silent and half-open clients among them; what was not acknowledged goes to the next instance.

use std::time::{Duration, Instant};

use shared::proto::v1::IngestWithAcksRequest;
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::frames::{DATA, END_HEADERS, HEADERS, call_headers, frame, opening};
use super::target::{Target, connect};
use super::{Attack, Setting};
use crate::IngestProcess;
use crate::faults::Finding;
use crate::faults::load::{Load, Shape};

/// Ninety that send and ten that do not.
const SENDING: Shape = Shape { numbered: 80, unnumbered: 10, window: 8, batch_points: 500 };
const SILENT: usize = 10;
/// Connections that never say another word, a message half sent.
const HALF_OPEN: usize = 5;
/// Within which the service must have ended.
const BOUND: Duration = Duration::from_secs(30);

pub(super) async fn run(setting: &Setting) -> anyhow::Result<Attack> {
    let target = Target::start(setting).await?;
    let next = IngestProcess::start(&setting.ingest_service, &setting.database_url).await?;
    let mut load = Load::start(&target.url, &SENDING);
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(open_silently(&target.url).await?);
    }
    let mut half_open = Vec::new();
    for _ in 0..HALF_OPEN {
        half_open.push(open_half(&target).await?);
    }
    load.progress().await?;
    let asked = Instant::now();
    let status = target.process.terminate(BOUND).await?;
    let took = asked.elapsed();
    load.go_to(next.url());
    load.progress().await?;
    let finding = Finding::compare(&setting.database_url, load.finish().await?, 1).await?;
    let Finding { acknowledged, lost, doubled, .. } = finding;
    let seen = format!(
        "{status} after {:.1} s; {acknowledged} points acknowledged, {lost} lost, {doubled} doubled",
        took.as_secs_f64()
    );
    Ok(Attack {
        expected: "exit status 0 within 30 s, nothing acknowledged lost",
        seen,
        ok: status.success() && acknowledged > 0 && finding.holds(),
    })
}

/// A stream that is opened and never used; what keeps it open.
async fn open_silently(url: &str) -> anyhow::Result<impl Sized> {
    let mut client = IngestServiceClient::new(connect(url, "127.0.0.1").await?);
    let (batches, receiver) = mpsc::channel::<IngestWithAcksRequest>(1);
    let acks = client.ingest_with_acks(ReceiverStream::new(receiver)).await?;
    Ok((batches, acks))
}

async fn open_half(target: &Target) -> anyhow::Result<TcpStream> {
    let mut connection = TcpStream::connect(target.address).await?;
    let half =
        [opening(), frame(HEADERS, END_HEADERS, 1, &call_headers()), frame(DATA, 0, 1, &[0, 0, 0, 1, 0, 10, 20])];
    connection.write_all(&half.concat()).await?;
    Ok(connection)
}

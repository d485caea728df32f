//! SIGTERM with open streams, silent clients and half-open connections. Batches without
//! acknowledgement go to the next instance.

use std::time::{Duration, Instant};

use shared::proto::v1::IngestWithAcksRequest;
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::frames::{DATA, END_HEADERS, HEADERS, frame, headers_of, opening};
use super::target::{Target, connect};
use super::{Attack, Setting};
use crate::IngestProcess;
use crate::faults::Finding;
use crate::faults::load::{Load, Shape};

/// Ninety streams that send. Another ten are silent.
const SENDING: Shape = Shape { numbered: 80, unnumbered: 10, window: 8, batch_points: 500 };
const SILENT: usize = 10;
/// Number of connections of each half-open kind.
const HALF_OPEN: usize = 3;
/// Time limit for the shutdown. Running calls may take up to 25 s, but no call here has a reason
/// to.
const BOUND: Duration = Duration::from_secs(15);

pub(super) async fn run(setting: &Setting) -> anyhow::Result<Attack> {
    let target = Target::start(setting).await?;
    let next = IngestProcess::start(&setting.ingest_service, &setting.database_url).await?;
    let mut load = Load::start(&target.url, &SENDING);
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(open_silently(&target.url).await?);
    }
    let mut half_open = Vec::new();
    for words in half_said().iter().cycle().take(HALF_OPEN * half_said().len()) {
        let mut connection = TcpStream::connect(target.address).await?;
        connection.write_all(words).await?;
        half_open.push(connection);
    }
    load.progress().await?;
    let asked = Instant::now();
    let status = target.process.terminate(BOUND).await?;
    let took = asked.elapsed();
    load.go_to(next.url());
    load.progress().await?;
    let finding = Finding::compare(&setting.database_url, load.finish().await?, 1).await?;
    let seen = format!("{status} after {:.1} s; {finding}", took.as_secs_f64());
    Ok(Attack {
        expected: "exit status 0 within 15 s, nothing acknowledged lost".to_owned(),
        seen,
        ok: status.success() && finding.holds(),
    })
}

/// Opens a stream and never uses it. Returns the guards that keep it open.
async fn open_silently(url: &str) -> anyhow::Result<impl Sized> {
    let mut client = IngestServiceClient::new(connect(url, "127.0.0.1").await?);
    let (batches, receiver) = mpsc::channel::<IngestWithAcksRequest>(1);
    let acks = client.ingest_with_acks(ReceiverStream::new(receiver)).await?;
    Ok((batches, acks))
}

/// Returns the last bytes of clients that vanish: nothing, the preface, half the headers, half a
/// message of a stream, half a message of a unary call.
fn half_said() -> [Vec<u8>; 5] {
    let call =
        |method: &str| [opening(), frame(HEADERS, END_HEADERS, 1, &headers_of(method))].concat();
    let half_message =
        |method: &str| [call(method), frame(DATA, 0, 1, &[0, 0, 0, 1, 0, 10, 20])].concat();
    let mut half_headers = call("IngestBatch");
    half_headers.truncate(half_headers.len() - 20);
    [vec![], opening(), half_headers, half_message("IngestWithAcks"), half_message("IngestBatch")]
}

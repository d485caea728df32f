//! Connections that stay open without useful work, or break off.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Attack;
use super::frames::{DATA, END_HEADERS, HEADERS, call_headers, frame, opening};
use super::target::store_one;

/// How long idle connections and slow senders stay.
const STAY: Duration = Duration::from_secs(5);
/// Time limit for the service to close a connection that sends invalid bytes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Files that this process has open in addition to the connections.
const OTHER_FILES: usize = 500;
/// Source address of a new client.
const NEWCOMER: &str = "127.0.0.3";
/// Streams on the connection of each slow sender. The service allows 128.
const SLOW_STREAMS: u32 = 100;

/// Opens connections and leaves them idle. Half of them send a valid preface first.
pub(super) async fn idle(address: SocketAddr, wanted: usize) -> anyhow::Result<Attack> {
    let possible = wanted.min(allowed_files(wanted + OTHER_FILES)?.saturating_sub(OTHER_FILES));
    let mut connections = Vec::with_capacity(possible);
    for index in 0..possible {
        let Ok(mut connection) = TcpStream::connect(address).await else { break };
        if index % 2 == 0 && connection.write_all(&opening()).await.is_err() {
            break;
        }
        connections.push(connection);
    }
    tokio::time::sleep(STAY).await;
    let opened = connections.len();
    let closed = connections.iter().filter(|connection| is_closed(connection)).count();
    let limited = if possible < wanted {
        format!(" (this system allows no more than {possible})")
    } else {
        String::new()
    };
    let newcomer = match store_one(&format!("http://{address}"), NEWCOMER).await {
        Ok(()) => "served".to_owned(),
        Err(error) => format!("not served: {error:#}"),
    };
    let seen = format!(
        "{opened} opened{limited}, {closed} closed by the service within {STAY:?}, \
         new client meanwhile {newcomer}"
    );
    let expected = "held or closed, a new client from another address is served";
    Ok(Attack { expected: expected.to_owned(), seen, ok: opened > 0 && newcomer == "served" })
}

fn is_closed(connection: &TcpStream) -> bool {
    let mut ignored = [0; 1024];
    loop {
        match connection.try_read(&mut ignored) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

/// Raises the limit of open files of this process, as far as the system permits.
fn allowed_files(wanted: usize) -> anyhow::Result<usize> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted =
        u64::try_from(wanted)?.max(current.unwrap_or(u64::MAX)).min(maximum.unwrap_or(u64::MAX));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
        .context("cannot raise the limit of open files")?;
    Ok(usize::try_from(wanted)?)
}

/// Opens streams that announce a large message and send it byte by byte.
pub(super) async fn slow_senders(
    address: SocketAddr,
    connections: usize,
) -> anyhow::Result<Attack> {
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        senders.spawn(dribble(address));
    }
    let mut sent = 0;
    while let Some(sender) = senders.join_next().await {
        sent += sender??;
    }
    let streams = connections * SLOW_STREAMS as usize;
    let seen = format!("{streams} streams on {connections} connections, {sent} bytes in {STAY:?}");
    Ok(Attack {
        expected: "held or closed, the service keeps serving".to_owned(),
        seen,
        ok: sent > 0,
    })
}

async fn dribble(address: SocketAddr) -> anyhow::Result<usize> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(&opening()).await?;
    let streams = || (0..SLOW_STREAMS).map(|index| 2 * index + 1);
    for stream in streams() {
        connection.write_all(&frame(HEADERS, END_HEADERS, stream, &call_headers())).await?;
        let announced = [0, 0, 0x3f, 0xff, 0xff]; // just under 4 MiB
        connection.write_all(&frame(DATA, 0, stream, &announced)).await?;
    }
    let until = tokio::time::Instant::now() + STAY;
    let mut sent = 0;
    while tokio::time::Instant::now() < until {
        let bytes: Vec<u8> = streams().flat_map(|stream| frame(DATA, 0, stream, &[0])).collect();
        if connection.write_all(&bytes).await.is_err() {
            break; // closing the connection is correct too
        }
        sent += SLOW_STREAMS as usize;
        is_closed(&connection); // drains what the service sends
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(sent)
}

/// Sends random bytes, every second time after a valid preface.
pub(super) async fn random_bytes(
    address: SocketAddr,
    connections: usize,
) -> anyhow::Result<Attack> {
    let mut closed = 0;
    for index in 0..connections {
        let mut bytes = if index % 2 == 0 { Vec::new() } else { opening() };
        bytes.extend(std::iter::repeat_with(rand::random::<u8>).take(64 << 10));
        closed += usize::from(is_answered_by_closing(address, &bytes).await?);
    }
    let seen = format!("{closed} of {connections} connections closed");
    Ok(Attack { expected: "every connection closed".to_owned(), seen, ok: closed == connections })
}

async fn is_answered_by_closing(address: SocketAddr, bytes: &[u8]) -> anyhow::Result<bool> {
    let mut connection = TcpStream::connect(address).await?;
    let _ = connection.write_all(bytes).await; // the service may have closed the connection already
    // A large length by chance makes the service wait for the rest, which never comes.
    connection.shutdown().await.ok();
    let mut ignored = Vec::new();
    Ok(tokio::time::timeout(PATIENCE, connection.read_to_end(&mut ignored)).await.is_ok())
}

/// Sends requests that break off in the preface, the headers, the length of a message, or a
/// message.
pub(super) async fn half_requests(
    address: SocketAddr,
    connections: usize,
) -> anyhow::Result<Attack> {
    let opening = opening();
    let headers = [opening.clone(), frame(HEADERS, END_HEADERS, 1, &call_headers())].concat();
    let with_data = |data: &[u8]| [headers.clone(), frame(DATA, 0, 1, data)].concat();
    let halves = [
        opening[..10].to_vec(),
        headers[..headers.len() - 20].to_vec(),
        headers.clone(),
        with_data(&[0, 0, 0]),
        with_data(&[0, 0, 0, 1, 0, 10, 20]),
    ];
    for half in halves.iter().cycle().take(connections) {
        let mut connection = TcpStream::connect(address).await?;
        connection.write_all(half).await?;
        drop(connection);
    }
    let seen = format!("{connections} connections broken off");
    Ok(Attack { expected: "the service keeps serving".to_owned(), seen, ok: true })
}

//! One client connection, encrypted or not, that counts against the connection limits.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

use super::places::Held;
use crate::tls::CertificateNames;

/// Length of the client's connection preface of HTTP/2 in bytes (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;
/// Maximum time for a client to send the preface. After that, HTTP/2 pings detect a dead client.
const PREFACE_TIMEOUT: Duration = Duration::from_secs(10);

/// The client of a connection. Stored among the extensions of every request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address that the client connects from.
    pub address: SocketAddr,
    /// Names in the client certificate. `None` if the client presented none.
    pub certificate: Option<Arc<CertificateNames>>,
}

/// A place within the connection limits, and the token that aborts the connection.
pub(super) struct Place {
    _held: Held,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Place {
    /// Combines a permit with the token whose cancellation aborts the connection.
    pub(super) fn new(held: Held, cut: CancellationToken) -> Self {
        Self { _held: held, cut: Box::pin(cut.cancelled_owned()) }
    }
}

type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A connection that holds a place until it is dropped.
pub(crate) struct Connection {
    stream: Stream,
    peer: Peer,
    /// Closes the connection unless the preface has arrived. `None` once it has.
    preface_timeout: Option<Pin<Box<Sleep>>>,
    /// Bytes of the preface received so far.
    preface_bytes: usize,
    place: Place,
}

impl Connection {
    pub(super) fn plain(stream: TcpStream, address: SocketAddr, place: Place) -> Self {
        Self::new(Either::Left(stream), Peer { address, certificate: None }, place)
    }

    pub(super) fn encrypted(
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
        names: Option<CertificateNames>,
        place: Place,
    ) -> Self {
        let peer = Peer { address, certificate: names.map(Arc::new) };
        Self::new(Either::Right(Box::new(stream)), peer, place)
    }

    fn new(stream: Stream, peer: Peer, place: Place) -> Self {
        Self {
            stream,
            peer,
            preface_timeout: Some(Box::pin(tokio::time::sleep(PREFACE_TIMEOUT))),
            preface_bytes: 0,
            place,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl Connection {
    /// Polls the stream. If it is pending and the connection was cut, fails as if the network had
    /// aborted the connection.
    fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        work: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match work(Pin::new(&mut self.stream), cx) {
            Poll::Pending => self
                .place
                .cut
                .as_mut()
                .poll(cx)
                .map(|()| Err(io::ErrorKind::ConnectionAborted.into())),
            done => done,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.poll(cx, |stream, cx| stream.poll_read(cx, buffer))?;
        let came = buffer.filled().len() - before;
        if let Some(preface_timeout) = &mut self.preface_timeout {
            if read.is_pending() && preface_timeout.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.preface_bytes += came;
            if self.preface_bytes >= PREFACE_BYTES {
                self.preface_timeout = None;
            }
        }
        read.map(Ok)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, Stream::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, Stream::poll_shutdown)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// An empty SETTINGS frame, which an HTTP/2 server must send first.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// Maximum time to wait for the first call of a client before sending GOAWAY anyway.
const FIRST_CALL: Duration = Duration::from_millis(500);

/// Sends a GOAWAY frame after the client has started its first call, because a client that gets it
/// earlier reports a broken connection instead of the reason. Then reads until the client closes
/// the connection: closing it with unread data would reset it, and the client could lose the frame.
pub(super) async fn send_goaway(mut stream: TcpStream, goaway: Vec<u8>) -> io::Result<()> {
    stream.write_all(&SETTINGS).await?;
    // GOAWAY is sent even if no call was started in time.
    let _ = tokio::time::timeout(FIRST_CALL, first_call(&mut stream)).await;
    stream.write_all(&goaway).await?;
    stream.shutdown().await?;
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

/// Reads up to the header of the first HEADERS frame.
async fn first_call(stream: &mut TcpStream) -> io::Result<()> {
    const HEADERS: u8 = 1;
    tokio::io::copy(&mut stream.take(PREFACE_BYTES as u64), &mut tokio::io::sink()).await?;
    loop {
        let mut header = [0; 9];
        stream.read_exact(&mut header).await?;
        if header[3] == HEADERS {
            return Ok(());
        }
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        tokio::io::copy(&mut stream.take(length.into()), &mut tokio::io::sink()).await?;
    }
}

/// Builds a GOAWAY frame with ENHANCE_YOUR_CALM and the reason (RFC 9113, section 6.8).
pub(super) fn goaway(reason: &str) -> Vec<u8> {
    const ENHANCE_YOUR_CALM: u32 = 0xb;
    let length = u32::try_from(8 + reason.len()).unwrap_or(8).to_be_bytes();
    let header = [length[1], length[2], length[3], 7, 0, 0, 0, 0, 0];
    let last_stream = 0_u32.to_be_bytes();
    [&header[..], &last_stream, &ENHANCE_YOUR_CALM.to_be_bytes(), reason.as_bytes()].concat()
}

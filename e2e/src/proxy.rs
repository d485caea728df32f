//! TCP proxies that a test can cut, in front of the database or a service.

mod cutting;
mod message;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub use cutting::{CuttingProxy, Moment};

/// A proxy that passes connections on while it is open. Closing it breaks all connections and
/// refuses new ones.
#[derive(Clone)]
pub struct Proxy {
    address: SocketAddr,
    way: Arc<watch::Sender<Way>>,
    swallowed: Arc<watch::Sender<usize>>,
}

#[derive(Clone, Copy)]
struct Way {
    open: bool,
    /// Whether answers are read and discarded.
    mute: bool,
    /// How often all connections were broken.
    cuts: u64,
}

impl Proxy {
    /// Starts a proxy in front of a `postgres://` address.
    pub async fn start(url: &str, open: bool) -> Self {
        Self::to(target(url), open).await
    }

    /// Starts a proxy in front of `HOST:PORT`.
    pub async fn to(target: String, open: bool) -> Self {
        let way = Arc::new(watch::Sender::new(Way { open, mute: false, cuts: 0 }));
        let swallowed = Arc::new(watch::Sender::new(0));
        let way_of_each = Arc::clone(&way);
        let swallowed_of_all = Arc::clone(&swallowed);
        let address = accept(move |client| {
            pass(client, target.clone(), way_of_each.subscribe(), Arc::clone(&swallowed_of_all))
        });
        Self { address: address.await, way, swallowed }
    }

    /// Returns the address on which the proxy listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of the same database through this proxy.
    #[must_use]
    pub fn url(&self, url: &str) -> String {
        through(url, self.address)
    }

    /// Opens the proxy, or closes it and breaks all connections.
    pub fn set_open(&self, open: bool) {
        self.way.send_modify(|way| way.open = open);
    }

    /// Breaks all connections. New ones are passed on.
    pub fn cut(&self) {
        self.way.send_modify(|way| *way = Way { open: true, mute: false, cuts: way.cuts + 1 });
    }

    /// Discards all answers until `cut` is called. Requests still pass.
    pub fn swallow(&self) {
        self.way.send_modify(|way| way.mute = true);
    }

    /// Passes answers on again for new connections. Connections that lost answers stay silent.
    pub fn swallow_no_more(&self) {
        self.way.send_modify(|way| way.mute = false);
    }

    /// Discards answers until this many bytes are gone. Discarding ends with `cut`. Requests still
    /// pass.
    pub async fn swallow_answers(&self, bytes: usize) {
        let mut swallowed = self.swallowed.subscribe();
        let wanted = *swallowed.borrow() + bytes;
        self.swallow();
        // The sender is in `self`, so the wait cannot fail.
        let _ = swallowed.wait_for(|swallowed| *swallowed >= wanted).await;
    }
}

/// Returns `HOST:PORT` of a `postgres://` address.
fn target(url: &str) -> String {
    let options: PgConnectOptions = url.parse().unwrap();
    format!("{}:{}", options.get_host(), options.get_port())
}

/// Returns the URL of a database at another address, without TLS.
fn through(url: &str, address: SocketAddr) -> String {
    let options: PgConnectOptions = url.parse().unwrap();
    let database = options.get_database().unwrap_or("postgres");
    format!("postgres://{}@{address}/{database}?sslmode=disable", options.get_username())
}

/// Accepts connections on a free port until the runtime ends.
async fn accept<F: Future<Output = ()> + Send + 'static>(
    pass: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass(client));
        }
    });
    address
}

/// Connects to the target of a proxy. Disables Nagle's algorithm on both sides.
async fn connect(client: &TcpStream, target: &str) -> std::io::Result<TcpStream> {
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    Ok(server)
}

async fn pass(
    mut client: TcpStream,
    target: String,
    mut way: watch::Receiver<Way>,
    swallowed: Arc<watch::Sender<usize>>,
) {
    let Way { open: true, cuts, .. } = *way.borrow() else { return };
    let Ok(mut server) = connect(&client, &target).await else { return };
    let (mut requests, to_client) = client.split();
    let (from_server, mut to_server) = server.split();
    let of_answers = way.clone();
    tokio::select! {
        _ = tokio::io::copy(&mut requests, &mut to_server) => {}
        _ = pass_answers(from_server, to_client, of_answers, &swallowed) => {}
        _ = way.wait_for(|way| !way.open || way.cuts > cuts) => {}
    }
}

async fn pass_answers(
    mut from_server: ReadHalf<'_>,
    mut to_client: WriteHalf<'_>,
    way: watch::Receiver<Way>,
    swallowed: &watch::Sender<usize>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut mute = false; // once an answer is lost, later ones must not pass
    loop {
        let bytes = from_server.read(&mut buffer).await?;
        mute |= way.borrow().mute;
        match bytes {
            0 => return Ok(()),
            bytes if mute => swallowed.send_modify(|swallowed| *swallowed += bytes),
            bytes => to_client.write_all(&buffer[..bytes]).await?,
        }
    }
}

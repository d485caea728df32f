//! Accepts connections up to the limits, and runs each TLS handshake in a task of its own.
//!
//! | part | task |
//! |---|---|
//! | `places` | limits on the number of connections, in total and per client address |
//! | `proxy_protocol` | reads the client's address from the header that a trusted proxy sends |
//! | `connection` | one connection, which counts against the limits until it closes |
//! | `metrics` | open and refused connections |

mod connection;
mod metrics;
mod places;
mod proxy_protocol;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry::metrics::Meter;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::config::ServerConfig;
use crate::telemetry::Repeats;
use crate::tls::Tls;
pub(crate) use connection::Connection;
pub use connection::Peer;
use connection::Place;
use metrics::{Metrics, Refusal};
use places::{Held, Places, Reserved};
use proxy_protocol::Proxies;

/// Capacity of the queue of accepted connections that the server has not taken yet.
const READY: usize = 64;
/// Pause after `accept` failed, for example because the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Permits for sending the reason to refused connections, at most 64 at once.
static GOAWAY_PERMITS: Semaphore = Semaphore::const_new(64);
/// Maximum time for sending the reason to a refused connection.
const GOAWAY_TIMEOUT: Duration = Duration::from_secs(1);

/// Accepts connections until the returned stream is dropped. Connections still open when `cut` is
/// cancelled are aborted.
pub(crate) fn accept(
    listener: TcpListener,
    tls: Option<Tls>,
    config: &ServerConfig,
    meter: &Meter,
    cut: CancellationToken,
) -> ReceiverStream<io::Result<Connection>> {
    let (ready, connections) = mpsc::channel(READY);
    let places = Places::new(config);
    let setup = ConnectionSetup {
        metrics: Metrics::new(meter, places.free(), places.most()),
        places,
        tls,
        ready,
        cut,
    };
    let handshakes =
        Handshakes { most: config.tls.max_handshakes.get(), under_way: VecDeque::new() };
    let acceptor =
        Acceptor { setup, proxies: Proxies::new(&config.proxy_protocol_from), handshakes };
    tokio::spawn(acceptor.run(listener));
    ReceiverStream::new(connections)
}

struct Acceptor {
    setup: ConnectionSetup,
    proxies: Proxies,
    handshakes: Handshakes,
}

impl Acceptor {
    async fn run(mut self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.setup.ready.closed() => return,
            };
            match accepted {
                Ok((stream, address)) => self.take(stream, address).await,
                Err(error) => {
                    static LOG: LazyLock<Repeats> =
                        LazyLock::new(|| Repeats::new("cannot accept a connection"));
                    LOG.log(|| tracing::warn!(%error, "cannot accept a connection"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn take(&mut self, stream: TcpStream, address: SocketAddr) {
        let setup = self.setup.clone();
        if self.proxies.contain(address.ip()) {
            match setup.places.reserve() {
                Ok(reserved) => {
                    self.handshakes.start(setup.set_up_proxied(stream, address, reserved))
                }
                Err(reason) => setup.refuse(stream, address, &reason),
            }
            return;
        }
        match (setup.places.take(address), &setup.tls) {
            (Ok(held), None) => setup.set_up(stream, address, held).await,
            (Ok(held), Some(_)) => self.handshakes.start(setup.set_up(stream, address, held)),
            (Err(reason), _) => setup.refuse(stream, address, &reason),
        }
    }
}

/// The steps from an accepted socket to a served connection. Cheap to clone.
#[derive(Clone)]
struct ConnectionSetup {
    metrics: Metrics,
    places: Places,
    tls: Option<Tls>,
    ready: mpsc::Sender<io::Result<Connection>>,
    cut: CancellationToken,
}

impl ConnectionSetup {
    /// Reads the PROXY protocol header of a proxy's connection and assigns its place to the client
    /// address in the header.
    async fn set_up_proxied(self, mut stream: TcpStream, proxy: SocketAddr, reserved: Reserved) {
        static LOG: LazyLock<Repeats> =
            LazyLock::new(|| Repeats::new("proxy connections without a valid header"));
        let address = match proxy_protocol::read(&mut stream).await {
            Ok(source) => source.unwrap_or(proxy),
            Err(reason) => {
                self.metrics.refused(Refusal::ProxyHeader);
                return LOG
                    .log(|| tracing::warn!(address = %proxy, "proxy connection closed: {reason}"));
            }
        };
        match self.places.assign(reserved, address) {
            Ok(held) => self.set_up(stream, address, held).await,
            Err(reason) => self.refuse(stream, address, &reason),
        }
    }

    /// Performs the TLS handshake, if TLS is on, and passes the connection to the server.
    async fn set_up(self, stream: TcpStream, address: SocketAddr, held: Held) {
        static LOG: LazyLock<Repeats> =
            LazyLock::new(|| Repeats::new("TLS handshakes that failed"));
        let place = Place::new(held, self.cut);
        if let Err(error) = stream.set_nodelay(true) {
            return tracing::debug!(%error, %address, "connection closed before it was set up");
        }
        let connection = match self.tls {
            None => Connection::plain(stream, address, place),
            Some(tls) => match tls.accept(stream).await {
                Ok((stream, names)) => Connection::encrypted(stream, address, names, place),
                Err(error) => {
                    self.metrics.refused(Refusal::Handshake);
                    return LOG.log(|| tracing::warn!(error, %address, "TLS handshake failed"));
                }
            },
        };
        let _ = self.ready.send(Ok(connection)).await; // fails only after the server has stopped
    }

    /// Refuses a connection.
    ///
    /// Without TLS, sends the reason in a GOAWAY frame, which gRPC clients report as
    /// RESOURCE_EXHAUSTED. With TLS, or if [`GOAWAY_PERMITS`] are used up, only closes the
    /// connection.
    fn refuse(&self, stream: TcpStream, address: SocketAddr, reason: &str) {
        static LOG: LazyLock<Repeats> = LazyLock::new(|| Repeats::new("connections refused"));
        self.metrics.refused(Refusal::TooMany);
        if self.tls.is_none()
            && let Ok(place) = GOAWAY_PERMITS.try_acquire()
        {
            let goaway = connection::send_goaway(stream, connection::goaway(reason));
            tokio::spawn(async move {
                let _ = tokio::time::timeout(GOAWAY_TIMEOUT, goaway).await; // best effort
                drop(place);
            });
        }
        LOG.log(|| tracing::warn!(%address, "connection refused: {reason}"));
    }
}

/// The TLS handshakes in progress.
///
/// At the limit, a new handshake aborts the oldest one. An honest client needs only two round
/// trips, so the oldest handshakes are those of clients that merely occupy a place.
struct Handshakes {
    most: usize,
    under_way: VecDeque<AbortHandle>,
}

impl Handshakes {
    fn start(&mut self, handshake: impl Future<Output = ()> + Send + 'static) {
        static LOG: LazyLock<Repeats> =
            LazyLock::new(|| Repeats::new("TLS handshakes aborted for newer ones"));
        self.under_way.retain(|handshake| !handshake.is_finished());
        while self.under_way.len() >= self.most {
            self.under_way.pop_front().iter().for_each(AbortHandle::abort);
            let most = self.most;
            LOG.log(|| {
                tracing::warn!(
                    most,
                    "too many concurrent TLS handshakes (TIDEGAUGE_TLS_MAX_HANDSHAKES): \
                     aborting the oldest"
                );
            });
        }
        self.under_way.push_back(tokio::spawn(handshake).abort_handle());
    }
}

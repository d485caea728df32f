//! Takes connections, as many as may be, and makes the handshake of each apart from the others.

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

/// Connections that wait to be served.
const READY: usize = 64;
/// After which pause it is tried again to take a connection, where the system had none left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that are told at once why they are turned away, and how long that may take.
static FAREWELLS: Semaphore = Semaphore::const_new(64);
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Takes connections until nobody reads them any more; those that are left when `cut` is cancelled end.
pub(crate) fn accept(
    listener: TcpListener,
    tls: Option<Tls>,
    config: &ServerConfig,
    meter: &Meter,
    cut: CancellationToken,
) -> ReceiverStream<io::Result<Connection>> {
    let (ready, connections) = mpsc::channel(READY);
    let places = Places::new(config);
    let door = Door {
        metrics: Metrics::new(meter, places.free(), places.most()),
        places,
        tls,
        ready,
        cut,
    };
    let handshakes =
        Handshakes { most: config.tls.max_handshakes.get(), under_way: VecDeque::new() };
    let acceptor =
        Acceptor { door, proxies: Proxies::new(&config.proxy_protocol_from), handshakes };
    tokio::spawn(acceptor.run(listener));
    ReceiverStream::new(connections)
}

struct Acceptor {
    door: Door,
    proxies: Proxies,
    handshakes: Handshakes,
}

impl Acceptor {
    async fn run(mut self, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.door.ready.closed() => return,
            };
            match accepted {
                Ok((stream, address)) => self.take(stream, address).await,
                Err(error) => {
                    static LOG: LazyLock<Repeats> =
                        LazyLock::new(|| Repeats::new("cannot take a connection"));
                    LOG.log(|| tracing::warn!(%error, "cannot take a connection"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn take(&mut self, stream: TcpStream, address: SocketAddr) {
        let door = self.door.clone();
        if self.proxies.contain(address.ip()) {
            match door.places.reserve() {
                Ok(reserved) => self.handshakes.start(door.behind_proxy(stream, address, reserved)),
                Err(reason) => door.turn_away(stream, address, &reason),
            }
            return;
        }
        match (door.places.take(address), &door.tls) {
            (Ok(held), None) => door.let_in(stream, address, held).await,
            (Ok(held), Some(_)) => self.handshakes.start(door.let_in(stream, address, held)),
            (Err(reason), _) => door.turn_away(stream, address, &reason),
        }
    }
}

/// What a connection goes through once it is taken; cheap to clone.
#[derive(Clone)]
struct Door {
    metrics: Metrics,
    places: Places,
    tls: Option<Tls>,
    ready: mpsc::Sender<io::Result<Connection>>,
    cut: CancellationToken,
}

impl Door {
    /// A proxy's connection: its place is that of the address that the proxy names.
    async fn behind_proxy(self, mut stream: TcpStream, proxy: SocketAddr, reserved: Reserved) {
        static LOG: LazyLock<Repeats> =
            LazyLock::new(|| Repeats::new("connections of proxies without a usable header"));
        let address = match proxy_protocol::read(&mut stream).await {
            Ok(source) => source.unwrap_or(proxy),
            Err(reason) => {
                self.metrics.refused(Refusal::ProxyHeader);
                return LOG.log(|| tracing::warn!(address = %proxy, "the connection of a proxy was closed: {reason}"));
            }
        };
        match self.places.assign(reserved, address) {
            Ok(held) => self.let_in(stream, address, held).await,
            Err(reason) => self.turn_away(stream, address, &reason),
        }
    }

    /// Makes the handshake of TLS where there is one.
    async fn let_in(self, stream: TcpStream, address: SocketAddr, held: Held) {
        static LOG: LazyLock<Repeats> =
            LazyLock::new(|| Repeats::new("TLS handshakes that failed"));
        let place = Place::new(held, self.cut);
        if let Err(error) = stream.set_nodelay(true) {
            return tracing::debug!(%error, %address, "a connection broke off at once");
        }
        let connection = match self.tls {
            None => Connection::plain(stream, address, place),
            Some(tls) => match tls.accept(stream).await {
                Ok((stream, names)) => Connection::encrypted(stream, address, names, place),
                Err(error) => {
                    self.metrics.refused(Refusal::Handshake);
                    return LOG.log(|| tracing::warn!(error, %address, "a TLS handshake failed"));
                }
            },
        };
        let _ = self.ready.send(Ok(connection)).await; // nobody reads: the end
    }

    /// Says why in the one way that HTTP/2 has, where the connection is not encrypted: clients of gRPC make
    /// RESOURCE_EXHAUSTED of it. Where there are too many to be told, and with TLS, the connection is merely closed.
    fn turn_away(&self, stream: TcpStream, address: SocketAddr, reason: &str) {
        static LOG: LazyLock<Repeats> = LazyLock::new(|| Repeats::new("connections turned away"));
        self.metrics.refused(Refusal::TooMany);
        if self.tls.is_none()
            && let Ok(place) = FAREWELLS.try_acquire()
        {
            let farewell = connection::say_goaway(stream, connection::goaway(reason));
            tokio::spawn(async move {
                let _ = tokio::time::timeout(FAREWELL_TIMEOUT, farewell).await; // told or not, it ends
                drop(place);
            });
        }
        LOG.log(|| tracing::warn!(%address, "a connection was turned away: {reason}"));
    }
}

/// The handshakes under way. One too many ends the oldest: a client that means well needs two round trips, so the oldest are
/// those that only hold a place.
struct Handshakes {
    most: usize,
    under_way: VecDeque<AbortHandle>,
}

impl Handshakes {
    fn start(&mut self, handshake: impl Future<Output = ()> + Send + 'static) {
        static LOG: LazyLock<Repeats> =
            LazyLock::new(|| Repeats::new("TLS handshakes ended for newer ones"));
        self.under_way.retain(|handshake| !handshake.is_finished());
        while self.under_way.len() >= self.most {
            self.under_way.pop_front().iter().for_each(AbortHandle::abort);
            let most = self.most;
            LOG.log(|| {
                tracing::warn!(most, "too many TLS handshakes at once (TIDEGAUGE_TLS_MAX_HANDSHAKES): the oldest ends");
            });
        }
        self.under_way.push_back(tokio::spawn(handshake).abort_handle());
    }
}

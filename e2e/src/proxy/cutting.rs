//! A proxy to the database that cuts a connection at a chosen moment of the protocol.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;

use super::message::Message;
use super::{accept, connect, target, through};

/// Delay of late messages. By then the service has reconnected and read its ledger rows.
const LATE: Duration = Duration::from_millis(300);

/// The moment at which a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// In the middle of a COPY data message.
    InCopy,
    /// The server has confirmed the COPY, and COMMIT is never sent.
    BeforeCommit,
    /// COMMIT is sent, but never arrives.
    CommitSwallowed,
    /// COMMIT is sent, the connection is cut, and COMMIT arrives afterwards.
    CommitLate,
    /// COMMIT arrives and takes effect, but its answer is withheld.
    AnswerWithheld,
    /// The single statement that writes a small flush is sent, the connection is cut, and the
    /// statement arrives afterwards.
    AtOnceLate,
    /// The single statement that writes a small flush arrives and is committed, but its answer is
    /// withheld.
    AtOnceAnswerWithheld,
}

/// A proxy that passes PostgreSQL protocol messages on and cuts one connection at a given moment.
pub struct CuttingProxy {
    address: SocketAddr,
    order: Arc<Order>,
}

/// The moment of the next cut, and a channel to report it.
#[derive(Default)]
struct Order(Mutex<Option<(Moment, oneshot::Sender<()>)>>);

impl Order {
    /// Takes the order if it is for this moment. The first connection to ask gets it.
    fn take(&self, moment: Moment) -> Option<oneshot::Sender<()>> {
        let mut order = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        order.take_if(|(wanted, _)| *wanted == moment).map(|(_, done)| done)
    }
}

impl CuttingProxy {
    /// Starts a proxy in front of a `postgres://` address.
    pub async fn start(url: &str) -> Self {
        let target = target(url);
        let order = Arc::new(Order::default());
        let orders = Arc::clone(&order);
        let address = accept(move |client| {
            let target = target.clone();
            let order = Arc::clone(&orders);
            async move {
                // The connection is expected to break.
                let _ = pass(client, target, order).await;
            }
        });
        Self { address: address.await, order }
    }

    /// Returns the URL of the same database through this proxy.
    #[must_use]
    pub fn url(&self, url: &str) -> String {
        through(url, self.address)
    }

    /// Cuts the next connection that reaches the moment. Returns once that is done.
    pub async fn cut(&self, moment: Moment) {
        let (sender, done) = oneshot::channel();
        *self.order.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((moment, sender));
        done.await.expect("a connection that takes the order reports the cut");
    }
}

/// A cut, to be reported once it is complete.
struct Cut {
    done: oneshot::Sender<()>,
    /// Messages that still arrive after the cut.
    late: Vec<Message>,
}

impl Cut {
    fn now(done: oneshot::Sender<()>) -> Self {
        Self { done, late: Vec::new() }
    }
}

async fn pass(client: TcpStream, target: String, order: Arc<Order>) -> io::Result<()> {
    let server = connect(&client, &target).await?;
    let (from_client, mut to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let mut from_client = BufReader::new(from_client);
    let mut from_server = BufReader::new(from_server);
    let at_once = AtomicBool::new(false);
    let cut = tokio::select! {
        cut = pass_requests(&mut from_client, &mut to_server, &order, &at_once) => cut?,
        cut = pass_answers(&mut from_server, &mut to_client, &order, &at_once) => cut?,
    };
    drop((from_client, to_client));
    if !cut.late.is_empty() {
        tokio::time::sleep(LATE).await;
        for message in cut.late {
            to_server.write_all(&message.bytes).await?;
        }
        while !Message::read(&mut from_server).await?.is_ready() {}
    }
    drop((from_server, to_server));
    let _ = cut.done.send(()); // the test may have stopped waiting
    Ok(())
}

/// Passes requests on. Sets `at_once` while the single statement that writes a small flush is on
/// its way.
async fn pass_requests(
    from_client: &mut BufReader<OwnedReadHalf>,
    to_server: &mut OwnedWriteHalf,
    order: &Order,
    at_once: &AtomicBool,
) -> io::Result<Cut> {
    let mut write_at_once: Option<Vec<u8>> = None; // name of the prepared statement
    to_server.write_all(&Message::read_startup(from_client).await?.bytes).await?;
    loop {
        let message = Message::read(from_client).await?;
        if message.is_copy_data() {
            if let Some(done) = order.take(Moment::InCopy) {
                let part = rand::random_range(1..message.bytes.len());
                to_server.write_all(&message.bytes[..part]).await?;
                return Ok(Cut::now(done));
            }
        } else if message.is_commit() {
            if let Some(done) = order.take(Moment::CommitSwallowed) {
                return Ok(Cut::now(done));
            }
            if let Some(done) = order.take(Moment::CommitLate) {
                return Ok(Cut { done, late: vec![message] });
            }
        } else if let Some(name) = message.prepares_write_at_once() {
            write_at_once = Some(name.to_vec());
        } else if write_at_once.as_ref().is_some_and(|name| message.binds(name)) {
            if let Some(done) = order.take(Moment::AtOnceLate) {
                return Ok(Cut { done, late: up_to_sync(message, from_client).await? });
            }
            at_once.store(true, Ordering::SeqCst);
        }
        to_server.write_all(&message.bytes).await?;
    }
}

/// Reads the messages that follow `first`, up to and including Sync.
async fn up_to_sync(
    first: Message,
    from_client: &mut BufReader<OwnedReadHalf>,
) -> io::Result<Vec<Message>> {
    let mut messages = vec![first];
    while !messages.last().is_some_and(Message::is_sync) {
        messages.push(Message::read(from_client).await?);
    }
    Ok(messages)
}

async fn pass_answers(
    from_server: &mut BufReader<OwnedReadHalf>,
    to_client: &mut OwnedWriteHalf,
    order: &Order,
    at_once: &AtomicBool,
) -> io::Result<Cut> {
    loop {
        let message = Message::read(from_server).await?;
        let moment = match () {
            () if message.completes("COPY") => Some(Moment::BeforeCommit),
            () if message.completes("COMMIT") => Some(Moment::AnswerWithheld),
            () if message.is_ready() && at_once.swap(false, Ordering::SeqCst) => {
                Some(Moment::AtOnceAnswerWithheld)
            }
            () => None,
        };
        if let Some(done) = moment.and_then(|moment| order.take(moment)) {
            return Ok(Cut::now(done));
        }
        to_client.write_all(&message.bytes).await?;
    }
}

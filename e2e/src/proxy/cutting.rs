//! A way to the database that is cut at a chosen moment of the protocol.

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

/// How late what arrives late is: the service has long reconnected and asked for its ledger rows by then.
const LATE: Duration = Duration::from_millis(300);

/// When a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// In the middle of a message of COPY data.
    InCopy,
    /// The server has taken all points in and says so; COMMIT is never sent.
    BeforeCommit,
    /// COMMIT is sent and never arrives.
    CommitSwallowed,
    /// COMMIT is sent, the connection is cut, and only then does COMMIT arrive.
    CommitLate,
    /// COMMIT arrives and takes effect; its answer is withheld.
    AnswerWithheld,
    /// The statement that writes a small flush at once is sent, the connection is cut, and only then does it arrive.
    AtOnceLate,
    /// That statement arrives and is committed; its answer is withheld.
    AtOnceAnswerWithheld,
}

/// Passes the messages of the PostgreSQL protocol on; cuts one connection at a moment, when asked.
pub struct CuttingProxy {
    address: SocketAddr,
    order: Arc<Order>,
}

/// At which moment the next connection that reaches it is cut, and whom to tell.
#[derive(Default)]
struct Order(Mutex<Option<(Moment, oneshot::Sender<()>)>>);

impl Order {
    /// Whether this is the moment. The order goes to the connection that asks first.
    fn take(&self, moment: Moment) -> Option<oneshot::Sender<()>> {
        let mut order = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        order.take_if(|(wanted, _)| *wanted == moment).map(|(_, done)| done)
    }
}

impl CuttingProxy {
    /// In front of a postgres:// address.
    pub async fn start(url: &str) -> Self {
        let (target, order) = (target(url), Arc::new(Order::default()));
        let orders = Arc::clone(&order);
        let address = accept(move |client| {
            let (target, order) = (target.clone(), Arc::clone(&orders));
            async move {
                let _ = pass(client, target, order).await; // a connection that breaks is what this is about
            }
        });
        Self { address: address.await, order }
    }

    /// The same database through this proxy.
    #[must_use]
    pub fn url(&self, url: &str) -> String {
        through(url, self.address)
    }

    /// Cuts the next connection that reaches the moment; returns when that is done.
    pub async fn cut(&self, moment: Moment) {
        let (sender, done) = oneshot::channel();
        *self.order.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((moment, sender));
        done.await.expect("a connection that takes the order says when it is done");
    }
}

/// A cut, to be reported once everything about it has happened.
struct Cut {
    done: oneshot::Sender<()>,
    /// What arrives afterwards all the same.
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
    let (mut from_client, mut from_server) =
        (BufReader::new(from_client), BufReader::new(from_server));
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
    let _ = cut.done.send(()); // whoever gave the order may have given up
    Ok(())
}

/// Says by `at_once` that the statement which writes a small flush at once is on its way.
async fn pass_requests(
    from_client: &mut BufReader<OwnedReadHalf>,
    to_server: &mut OwnedWriteHalf,
    order: &Order,
    at_once: &AtomicBool,
) -> io::Result<Cut> {
    let mut write_at_once: Option<Vec<u8>> = None; // the name of the prepared statement
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

/// A message and those that belong to it.
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

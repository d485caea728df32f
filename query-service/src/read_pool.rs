//! Connections to read through: a bounded number, and each use may be dropped at any moment.

mod canceller;
mod executor;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};
use shared::config::DatabaseConfig;
use shared::db;
use shared::series_cache::SeriesCache;
use shared::telemetry::Statements;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _, Row as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::metrics;
use canceller::Canceller;

/// Series whose ids are remembered: some 10 MB.
const CACHED_SERIES: usize = 100_000;
/// How long a query waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that has rested for longer is asked whether it is still there.
const RESTED: Duration = Duration::from_secs(1);
/// Older connections are not used again: a backend's memory grows with the chunks that it has seen.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// How much later than this service the database itself ends a statement, for the case that the service is gone.
const BACKSTOP: Duration = Duration::from_secs(5);

/// Runs statements, at most as many at once as there are connections. Whoever has had enough of an answer drops it: the
/// statement is cancelled and its connection closed. sqlx's own pool would take the connection back with the statement
/// still running.
#[derive(Clone)]
pub(crate) struct ReadPool {
    shared: Arc<Shared>,
}

/// The pool, for one kind of statement. Only this type runs statements, so that none is without a name in spans and metrics.
#[derive(Clone, Debug)]
pub(crate) struct NamedPool {
    pool: ReadPool,
    /// The name of its file in `sql/`, or of the function that puts it together.
    statement: &'static str,
}

struct Shared {
    database: DatabaseConfig,
    longest: Duration,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Session>>,
    canceller: Canceller,
    /// Queries that wait for a connection.
    waiting: AtomicUsize,
    timeouts: Counter<u64>,
    statements: Statements,
    series: SeriesCache,
}

/// A connection, and what it takes to cancel its statement.
struct Session {
    connection: PgConnection,
    pid: i32,
    opened: Instant,
    rested_since: Instant,
}

/// A connection in use.
struct Lease {
    pool: ReadPool,
    /// None once it is given back.
    held: Option<(Session, OwnedSemaphorePermit)>,
}

impl fmt::Debug for ReadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadPool({:?})", self.shared.database)
    }
}

impl ReadPool {
    /// Connects on demand. `longest` is how long a statement may take.
    pub(crate) fn new(
        database: &DatabaseConfig,
        connections: usize,
        longest: Duration,
        meter: &Meter,
    ) -> Self {
        let backstop = format!("{}ms", (longest + BACKSTOP).as_millis());
        let url = database
            .url
            .clone()
            .options(db::READ_SETTINGS)
            .options([("statement_timeout", backstop)]);
        let statements = Statements::new(meter);
        let shared = Arc::new(Shared {
            database: DatabaseConfig { url },
            longest,
            permits: Arc::new(Semaphore::new(connections)),
            idle: Mutex::default(),
            canceller: Canceller::new(database.clone(), statements.clone()),
            waiting: AtomicUsize::new(0),
            timeouts: metrics::POOL_TIMEOUTS.counter(meter),
            statements,
            series: SeriesCache::new(CACHED_SERIES),
        });
        shared.timeouts.add(0, &[]);
        observe(meter, &shared, connections);
        Self { shared }
    }

    /// The same connections, for a statement of this name.
    pub(crate) fn named(&self, statement: &'static str) -> NamedPool {
        NamedPool { pool: self.clone(), statement }
    }

    /// The ids of series that were read before: what exists is never taken away.
    pub(crate) fn series(&self) -> &SeriesCache {
        &self.shared.series
    }

    /// A connection of one's own until it is given back or dropped.
    ///
    /// # Errors
    /// None is free in time, or the database is away.
    async fn lease(&self) -> sqlx::Result<Lease> {
        let waiting = Waiting::new(&self.shared.waiting);
        let permit =
            match timeout(ACQUIRE_TIMEOUT, self.shared.permits.clone().acquire_owned()).await {
                Ok(permit) => permit.map_err(|_| sqlx::Error::PoolClosed)?,
                Err(_) => {
                    self.shared.timeouts.add(1, &[]);
                    return Err(sqlx::Error::PoolTimedOut);
                }
            };
        drop(waiting);
        let session = match self.rested().await {
            Some(session) => session,
            None => Session::open(&self.shared).await?,
        };
        Ok(Lease { pool: self.clone(), held: Some((session, permit)) })
    }

    /// A connection that was given back and still answers.
    async fn rested(&self) -> Option<Session> {
        loop {
            let mut session = self.idle().pop()?;
            if session.rested_since.elapsed() < RESTED {
                return Some(session);
            }
            if let Ok(Ok(())) = timeout(ACQUIRE_TIMEOUT, session.connection.ping()).await {
                return Some(session);
            }
        }
    }

    /// Closes the connections that nobody uses, and those in use as they come back.
    pub(crate) async fn close(&self) {
        self.shared.permits.close();
        let idle = std::mem::take(&mut *self.idle());
        for session in idle {
            let _ = session.connection.close().await; // one that is broken is closed as well
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts who waits, also one that is dropped.
struct Waiting<'c>(&'c AtomicUsize);

impl<'c> Waiting<'c> {
    fn new(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Shows the connections: how many may be, are in use, rest, and are waited for.
fn observe(meter: &Meter, shared: &Arc<Shared>, connections: usize) {
    metrics::POOL_MAX.observe(meter, move |gauge| gauge.observe(connections as f64, &[]));
    let pool = Arc::clone(shared);
    metrics::POOL_COUNT.observe(meter, move |gauge| {
        let used = connections.saturating_sub(pool.permits.available_permits());
        let idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner).len();
        gauge.observe(used as f64, &[KeyValue::new(metrics::POOL_STATE, "used")]);
        gauge.observe(idle as f64, &[KeyValue::new(metrics::POOL_STATE, "idle")]);
    });
    let pool = Arc::clone(shared);
    metrics::POOL_WAITING.observe(meter, move |gauge| {
        gauge.observe(pool.waiting.load(Ordering::Relaxed) as f64, &[]);
    });
}

impl Session {
    async fn open(shared: &Shared) -> sqlx::Result<Self> {
        let mut connection = db::connect(&shared.database, "tidegauge query").await?;
        let backend_pid = connection.fetch_one(include_str!("sql/backend_pid.sql"));
        let pid = shared.statements.run("backend_pid", backend_pid).await?.try_get(0)?;
        let opened = Instant::now();
        Ok(Self { connection, pid, opened, rested_since: opened })
    }
}

impl Lease {
    /// What statements run on.
    ///
    /// # Errors
    /// None in practice: a lease is not used once it is given back.
    fn connection(&mut self) -> sqlx::Result<&mut PgConnection> {
        self.held
            .as_mut()
            .map(|(session, _)| &mut session.connection)
            .ok_or(sqlx::Error::PoolClosed)
    }

    /// Gives the connection back, once the last answer has been read to its end without an error.
    fn give_back(mut self) {
        if let Some((mut session, permit)) = self.held.take() {
            session.rested_since = Instant::now();
            if session.opened.elapsed() < MAX_AGE && !self.pool.shared.permits.is_closed() {
                self.pool.idle().push(session);
            }
            drop(permit); // last, so that whoever waits for it finds the connection
        }
    }
}

/// What is not given back may have a statement under way. Its place is free again once that has been cancelled.
impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((session, permit)) = self.held.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let pool = self.pool.clone();
            runtime.spawn(async move {
                // Closed first: a statement that waits for its answer to be read would not notice that it is cancelled.
                drop(session.connection);
                pool.shared.canceller.cancel(session.pid).await;
                drop(permit);
            });
        }
    }
}

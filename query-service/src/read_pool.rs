//! A bounded pool of connections for reading. Any use of a connection may be dropped at any time.

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
use shared::telemetry::Statements;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _, Row as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::metrics;
use canceller::Canceller;

/// The maximum time for which a query waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection that was idle for longer is pinged before it is used again.
const PING_AFTER: Duration = Duration::from_secs(1);
/// Older connections are not used again: a backend's memory grows with the chunks that it has read.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// The database's own `statement_timeout` is this much longer than the timeout of this service. It
/// ends statements whose service has died.
const STATEMENT_TIMEOUT_MARGIN: Duration = Duration::from_secs(5);

/// A pool that runs at most one statement per connection. A caller that needs no more of an answer
/// drops it: the statement is cancelled and its connection closed. sqlx's own pool would take the
/// connection back while the statement is still running.
#[derive(Clone)]
pub(crate) struct ReadPool {
    state: Arc<PoolState>,
}

/// The pool together with the name of a statement. Only this type runs statements, so that each has
/// a name in spans and metrics.
#[derive(Clone, Debug)]
pub(crate) struct NamedPool {
    pool: ReadPool,
    /// The name of the statement's file in `sql/`, or of the function that builds it.
    statement: &'static str,
}

struct PoolState {
    database: DatabaseConfig,
    query_timeout: Duration,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<PooledConnection>>,
    canceller: Canceller,
    /// The number of queries waiting for a connection.
    waiting: AtomicUsize,
    timeouts: Counter<u64>,
    statements: Statements,
}

/// A connection, with the backend's process id to cancel its statement.
struct PooledConnection {
    connection: PgConnection,
    pid: i32,
    opened: Instant,
    idle_since: Instant,
}

/// A connection in use.
struct Lease {
    pool: ReadPool,
    /// `None` after the connection was given back.
    held: Option<(PooledConnection, OwnedSemaphorePermit)>,
}

impl fmt::Debug for ReadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadPool({:?})", self.state.database)
    }
}

impl ReadPool {
    /// Returns a pool that connects on demand. `query_timeout` is the timeout of a statement.
    pub(crate) fn new(
        database: &DatabaseConfig,
        connections: usize,
        query_timeout: Duration,
        meter: &Meter,
    ) -> Self {
        let backstop = format!("{}ms", (query_timeout + STATEMENT_TIMEOUT_MARGIN).as_millis());
        let url = database
            .url
            .clone()
            .options(db::READ_SETTINGS)
            .options([("statement_timeout", backstop)]);
        let statements = Statements::new(meter);
        let state = Arc::new(PoolState {
            database: DatabaseConfig { url },
            query_timeout,
            permits: Arc::new(Semaphore::new(connections)),
            idle: Mutex::default(),
            canceller: Canceller::new(database.clone(), statements.clone()),
            waiting: AtomicUsize::new(0),
            timeouts: metrics::POOL_TIMEOUTS.counter(meter),
            statements,
        });
        state.timeouts.add(0, &[]);
        observe(meter, &state, connections);
        Self { state }
    }

    /// Returns a handle that runs a statement under this name.
    pub(crate) fn named(&self, statement: &'static str) -> NamedPool {
        NamedPool { pool: self.clone(), statement }
    }

    /// Takes a connection for exclusive use until the lease is given back or dropped.
    ///
    /// # Errors
    /// Returns an error if no connection becomes free within [`ACQUIRE_TIMEOUT`], or if the
    /// database is unavailable.
    async fn lease(&self) -> sqlx::Result<Lease> {
        let waiting = WaitingQuery::new(&self.state.waiting);
        let permit =
            match timeout(ACQUIRE_TIMEOUT, self.state.permits.clone().acquire_owned()).await {
                Ok(permit) => permit.map_err(|_| sqlx::Error::PoolClosed)?,
                Err(_) => {
                    self.state.timeouts.add(1, &[]);
                    return Err(sqlx::Error::PoolTimedOut);
                }
            };
        drop(waiting);
        let pooled = match self.take_idle().await {
            Some(pooled) => pooled,
            None => PooledConnection::open(&self.state).await?,
        };
        Ok(Lease { pool: self.clone(), held: Some((pooled, permit)) })
    }

    /// Returns an idle connection that still answers, if there is one.
    async fn take_idle(&self) -> Option<PooledConnection> {
        loop {
            let mut pooled = self.idle().pop()?;
            if pooled.idle_since.elapsed() < PING_AFTER {
                return Some(pooled);
            }
            if let Ok(Ok(())) = timeout(ACQUIRE_TIMEOUT, pooled.connection.ping()).await {
                return Some(pooled);
            }
        }
    }

    /// Closes idle connections now, and those in use when they are given back.
    pub(crate) async fn close(&self) {
        self.state.permits.close();
        let idle = std::mem::take(&mut *self.idle());
        for pooled in idle {
            let _ = pooled.connection.close().await; // an error means that it is closed already
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PooledConnection>> {
        self.state.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A guard that counts a waiting query, including one whose call is dropped.
struct WaitingQuery<'c>(&'c AtomicUsize);

impl<'c> WaitingQuery<'c> {
    fn new(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for WaitingQuery<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Registers gauges for the maximum, used and idle connections, and for waiting queries.
fn observe(meter: &Meter, state: &Arc<PoolState>, connections: usize) {
    metrics::POOL_MAX.observe(meter, move |gauge| gauge.observe(connections as f64, &[]));
    let pool = Arc::clone(state);
    metrics::POOL_COUNT.observe(meter, move |gauge| {
        let used = connections.saturating_sub(pool.permits.available_permits());
        let idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner).len();
        gauge.observe(used as f64, &[KeyValue::new(metrics::POOL_STATE, "used")]);
        gauge.observe(idle as f64, &[KeyValue::new(metrics::POOL_STATE, "idle")]);
    });
    let pool = Arc::clone(state);
    metrics::POOL_WAITING.observe(meter, move |gauge| {
        gauge.observe(pool.waiting.load(Ordering::Relaxed) as f64, &[]);
    });
}

impl PooledConnection {
    async fn open(state: &PoolState) -> sqlx::Result<Self> {
        let mut connection = db::connect(&state.database, "tidegauge query").await?;
        let backend_pid = connection.fetch_one(include_str!("sql/backend_pid.sql"));
        let pid = state.statements.run("backend_pid", backend_pid).await?.try_get(0)?;
        let opened = Instant::now();
        Ok(Self { connection, pid, opened, idle_since: opened })
    }
}

impl Lease {
    /// Returns the connection to run statements on.
    ///
    /// # Errors
    /// Returns an error if the connection was given back, which no caller does.
    fn connection(&mut self) -> sqlx::Result<&mut PgConnection> {
        self.held.as_mut().map(|(pooled, _)| &mut pooled.connection).ok_or(sqlx::Error::PoolClosed)
    }

    /// Returns the connection to the pool. Call this only after the answer was read to its end
    /// without an error.
    fn give_back(mut self) {
        if let Some((mut pooled, permit)) = self.held.take() {
            pooled.idle_since = Instant::now();
            if pooled.opened.elapsed() < MAX_AGE && !self.pool.state.permits.is_closed() {
                self.pool.idle().push(pooled);
            }
            drop(permit); // last, so that the next waiting query finds the connection
        }
    }
}

/// Cancels the statement of a lease that was not given back, because it may still be running. The
/// permit is released after that.
impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((pooled, permit)) = self.held.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let pool = self.pool.clone();
            runtime.spawn(async move {
                // Close first: a backend that is blocked on sending its answer does not react to a
                // cancel request.
                drop(pooled.connection);
                pool.state.canceller.cancel(pooled.pid).await;
                drop(permit);
            });
        }
    }
}

//! Serves queries over stored points as the gRPC service `QueryService`.
//!
//! The modules are listed in the order in which a query passes through them:
//!
//! 1. `shared::server` accepts the connection and the call: TLS, middleware, identity, client
//!    limits.
//! 2. `permissions` refuses devices outside the identity's prefixes before anything is looked up.
//! 3. `grpc` has one thin handler per method. `deadline` ends the work at the client's
//!    deadline, and a unary answer after `TIDEGAUGE_QUERY_TIMEOUT` (30 s).
//! 4. `validate` turns the request into a checked query or INVALID_ARGUMENT.
//! 5. `plan` chooses the granularity and the covered interval, with `relations` as input.
//! 6. `series` maps selectors to series ids, which it caches: an exact id must exist, a prefix may
//!    match nothing.
//! 7. `watermarks` and `uncovered` divide the interval among the rollups and the points.
//! 8. `store` runs the statements on connections of `read_pool`; `raw_points` and `copy_decoder`
//!    read raw points by COPY.
//! 9. `row_stream` sends header, frames and footer; `lttb` thins points out on the way.
//!
//! `anomaly` detects anomalies for `DetectAnomalies` and `WatchAnomalies`; `watch` runs
//! subscriptions. Work may be dropped at any await: a connection on lease that was not given back
//! to the pool is closed, and its statement is cancelled.

pub mod cli;
pub mod config;
mod error;
mod metrics;

mod deadline;
mod grpc;
mod permissions;
mod validate;

mod page_token;
mod plan;
mod relations;
mod uncovered;
mod watermarks;

mod columns;
mod copy_decoder;
mod raw_points;
mod read_pool;
mod series;
mod store;

mod lttb;
mod row_stream;

mod anomaly;
mod watch;

mod run;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

pub use run::run;

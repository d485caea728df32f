//! Serves queries over stored points as the gRPC service `QueryService`.
//!
//! The modules are listed in the order in which a query passes through them. `docs/ARCHITECTURE.md`
//! follows one query step by step.

pub mod cli;
pub mod config;
mod error;
mod metrics;

mod deadline;
mod permissions;
mod query_rpc;
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

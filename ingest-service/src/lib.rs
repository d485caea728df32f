//! Receives points over gRPC and writes them to TimescaleDB exactly once.
//!
//! The modules are listed in the order in which a point passes through them:
//!
//! 1. `shared::server` accepts the connection and the call: TLS, middleware, identity, client
//!    limits.
//! 2. `grpc` has one thin handler per method. It runs the call in a task of its own and reads it
//!    message by message. `intake` takes each message through steps 3 to 6.
//! 3. `wire` reads a message in place. `validate` turns it into columns of valid points (`points`)
//!    and rejections; `permissions` says which devices and producers the caller may use.
//! 4. `series_resolver` maps (device, metric) to series ids and creates missing series.
//! 5. `scheduling` admits the batch: it waits until its points fit into the queue.
//! 6. `scheduling` queues the batch in a lane. From here on it is stored even if its client goes
//!    away.
//! 7. `scheduling` forms the next flush when the lane's writer is free.
//! 8. `writer` writes the flush in one transaction. `ledger` decides for each batch; `flush` sorts
//!    its points; `copy_encoder` encodes them.
//! 9. `ack` hands each batch its answer.
//!
//! An unnumbered batch without a valid point skips steps 4 to 8. `retry` decides what is tried
//! again.

pub mod cli;
pub mod config;
mod error;
mod metrics;
pub mod migration;

mod grpc;
mod intake;
mod permissions;
mod service;
mod validate;
mod wire;

mod points;

mod series_resolver;

mod flush;
mod scheduling;

mod ledger;
mod ledger_reader;
mod numbering;
mod writer;

mod copy_encoder;

mod ack;

mod retry;

mod database_sample;
mod refusals;

mod run;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

pub use run::run;

//! Receives points over gRPC and writes them to TimescaleDB exactly once.
//!
//! The modules are declared in the order in which a point passes through them.
//! `docs/ARCHITECTURE.md` describes that path.

pub mod cli;
pub mod config;
mod error;
mod metrics;

mod ingest_stream;
mod service;
mod validate;
mod wire;

mod points;

mod series_resolver;

mod flush;
mod scheduling;

mod ledger;
mod ledger_reader;
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

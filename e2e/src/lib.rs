//! Helpers of the end-to-end tests: both services on free ports, proxies that cut connections, and
//! points to send.
//!
//! Helpers panic where a test should fail.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

pub mod abuse;
pub mod faults;
#[cfg(feature = "services")]
pub mod settings;
pub mod strain;
#[cfg(feature = "services")]
pub mod watch;

mod database;
mod health;
mod keyed_identity;
mod memory;
mod plain_http;
mod points;
mod process;
mod proxy;
#[cfg(feature = "services")]
mod services;
mod until;

pub use database::{OwnDatabase, Sql, database_url};
pub use health::{wait_for, wait_until_serving};
pub use keyed_identity::KeyedIdentity;
pub use memory::{MEMORY_BOUND, Memory};
pub use plain_http::get;
pub use points::{at, batch, named, now, numbered, point, selector, series, unique};
pub use process::{IngestProcess, built_ingest_service, built_program};
pub use proxy::{CuttingProxy, Moment, Proxy};
#[cfg(feature = "services")]
pub use services::Services;
pub use until::until;

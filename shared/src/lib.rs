//! Code that both services share. It must not depend on how points are written or how queries are
//! answered.
//!
//! | modules | duty |
//! |---|---|
//! | `proto`, `status`, `time`, `granularity` | the generated contract, its statuses and units |
//! | `config`, `history` | settings, and their consistency with the database |
//! | `db`, `series_cache` | connections, migrations, refreshes; cached series ids |
//! | `connections`, `tls`, `reload` | accepting connections; files that are read again |
//! | `auth`, `quotas` | identities, permissions and limits of clients |
//! | `server`, `deadline`, `compression`, `call_head` | the gRPC server and its middleware |
//! | `metrics`, `telemetry`, `http` | metrics, traces, logs, and the port for operators |
//! | `readiness`, `shutdown`, `under_way`, `process` | start, readiness and SIGTERM |
//!
//! `docs/ARCHITECTURE.md` has a table of questions and files.

pub mod config;
pub mod proto;

pub mod granularity;
pub mod history;
pub mod status;
pub mod time;

pub mod db;
pub mod series_cache;

pub mod auth;
pub mod connections;
pub mod quotas;
mod reload;
pub mod tls;

mod around;
mod call_head;
mod compression;
pub mod deadline;
mod ended_by;
pub mod metrics;
pub mod telemetry;

pub mod http;
pub mod process;
pub mod readiness;
pub mod server;
pub mod shutdown;
mod under_way;

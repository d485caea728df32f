//! Code shared by both services: the generated contract, database helpers, configuration and
//! serving.
//!
//! It must not depend on how points are written or how queries are answered.

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

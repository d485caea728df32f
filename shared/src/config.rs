//! Configuration shared by both services: one small struct per concern, and parsing of the command
//! line.
//!
//! Every setting is a flag and an environment variable; the flag takes precedence. `.env.sample`
//! lists all of them, and a test compares it with the definitions.

mod command_line;
mod database;
mod log;
mod quotas;
mod server;
mod telemetry;
mod tls;
mod values;
mod variables;
mod wrong_value;

pub use command_line::{defaults, parse};
pub use database::DatabaseConfig;
pub use log::{LogConfig, LogFormat};
pub use quotas::QuotaConfig;
pub use server::{AccessConfig, ServerConfig};
pub use telemetry::{telemetry_help, telemetry_variables};
pub use tls::{ClientCertificate, TlsConfig};
pub use values::{address, bytes, count, duration};
pub use variables::{Settings, Variable, variables};

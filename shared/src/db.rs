//! Database helpers: connecting, checking the edition, migrating, classifying errors.

mod connect;
mod edition;
mod error;
mod history;
mod micros;
mod migrate;
mod refresh;

pub use connect::{READ_SETTINGS, connect, options, timed_out, within};
pub use edition::{Edition, EditionError, check_edition};
pub use error::{is_refusal, is_unavailable};
pub use history::{history, history_conflicts};
pub use micros::{Micros, POSTGRES_EPOCH};
pub use migrate::{MigrateError, ProbeError, check_schema, migrate};
pub use refresh::refresh;

//! Authentication and permissions: maps API keys and client certificates to identities with scopes
//! and prefixes of device ids.
//!
//! A call is authenticated by its headers or the client certificate of its connection, before any
//! of its body is read. Handlers find the [`Identity`] among the extensions of their request, and check its permissions against the
//! content of the request.

mod command;
mod devices;
mod file;
mod identity;
mod key;
mod layer;
mod revocation;

pub use command::KeysCommand;
pub use devices::DevicePrefixes;
pub use identity::{ClientLimits, Identity, Scope, identity};
pub(crate) use layer::Gate;

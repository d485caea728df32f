//! Who calls, and what they may do: API keys and client certificates to identities with scopes and prefixes.
//!
//! Decided on a call's headers, before anything of its body is read. Handlers find the identity among the extensions of their
//! request; what it may write or read they hold against the request itself.

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

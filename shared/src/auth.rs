//! Authentication and permissions: maps API keys and client certificates to identities with scopes
//! and prefixes of device ids.
//!
//! A call is authenticated by its headers or the client certificate of its connection, before any
//! of its body is read. Handlers find the [`Identity`] among the extensions of their request, and
//! check its permissions against the content of the request.
//!
//! | part | task |
//! |---|---|
//! | `layer` | the middleware that admits or refuses a call |
//! | `revocation` | finds the identity of a call, and ends the call when it loses access |
//! | `file`, `key` | the identities file: looks up keys, by their hashes, and certificates |
//! | `identity`, `devices` | permissions, and prefixes of device ids |
//! | `command` | the subcommand `keys` |

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

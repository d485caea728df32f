//! Keys and their identities, made by the program's own subcommand.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tokio::process::Command;

/// A key, and the identity that has it, as the file takes it.
#[derive(Clone, Debug)]
pub(super) struct KeyedIdentity {
    pub(super) key: String,
    pub(super) entry: String,
}

impl KeyedIdentity {
    /// With `keys new` and these arguments beside the name.
    pub(super) async fn make(program: &Path, name: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let output = Command::new(program).args(["keys", "new", "--name", name]).args(arguments).output().await?;
        let (entry, told) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
        ensure!(output.status.success(), "keys new: {told}");
        let key = told.split_whitespace().find(|word| word.starts_with("tgk_")).context("no key was printed")?;
        ensure!(!entry.contains(key), "the key is in the entry for the file");
        Ok(Self { key: key.to_owned(), entry })
    }
}

/// An identity that shows a certificate.
pub(super) fn with_certificate(name: &str, scope: &str, device_prefix: &str, certificate: &str) -> String {
    format!(
        "[[identity]]\nname = \"{name}\"\nscopes = [\"{scope}\"]\ndevice_prefixes = [\"{device_prefix}\"]\n\
         certificates = [\"{certificate}\"]\n"
    )
}

//! Keys and their identities, made by the `keys` subcommand of the program.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tokio::process::Command;
use tonic::Request;
use tonic::metadata::AsciiMetadataValue;

/// A key and the identity that holds it, as written in the identities file.
#[derive(Clone, Debug)]
pub struct KeyedIdentity {
    /// The secret key.
    pub key: String,
    /// The `[[identity]]` entry for the file.
    pub entry: String,
}

impl KeyedIdentity {
    /// Runs `keys new` with these arguments in addition to the name.
    ///
    /// # Errors
    /// Fails if the program rejects the arguments or prints the key in the entry.
    pub async fn make(program: &Path, name: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let output = Command::new(program)
            .args(["keys", "new", "--name", name])
            .args(arguments)
            .output()
            .await?;
        let entry = String::from_utf8(output.stdout)?;
        let told = String::from_utf8(output.stderr)?;
        ensure!(output.status.success(), "keys new: {told}");
        let key = told
            .split_whitespace()
            .find(|word| word.starts_with("tgk_"))
            .context("no key was printed")?;
        ensure!(!entry.contains(key), "the entry for the file contains the key itself");
        Ok(Self { key: key.to_owned(), entry })
    }

    /// Returns a request that carries the key.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", bearer(&self.key));
        request
    }
}

/// Returns the value of the `authorization` header for a key.
pub(crate) fn bearer(key: &str) -> AsciiMetadataValue {
    format!("Bearer {key}").parse().unwrap()
}

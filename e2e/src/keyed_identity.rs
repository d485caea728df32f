//! Keys and their identities, made by the program's own subcommand.

use std::path::Path;

use anyhow::{Context as _, ensure};
use tokio::process::Command;
use tonic::Request;
use tonic::metadata::AsciiMetadataValue;

/// A key, and the identity that has it, as the file takes it.
#[derive(Clone, Debug)]
pub struct KeyedIdentity {
    /// The key itself.
    pub key: String,
    /// An `[[identity]]` of the file.
    pub entry: String,
}

impl KeyedIdentity {
    /// With `keys new` and these arguments beside the name.
    ///
    /// # Errors
    /// The program refuses, or tells a secret that it should not.
    pub async fn make(program: &Path, name: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let output = Command::new(program)
            .args(["keys", "new", "--name", name])
            .args(arguments)
            .output()
            .await?;
        let (entry, told) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
        ensure!(output.status.success(), "keys new: {told}");
        let key = told
            .split_whitespace()
            .find(|word| word.starts_with("tgk_"))
            .context("no key was printed")?;
        ensure!(!entry.contains(key), "the key is in the entry for the file");
        Ok(Self { key: key.to_owned(), entry })
    }

    /// A request that shows the key.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", bearer(&self.key));
        request
    }
}

/// The value of the header `authorization` for a key.
pub(crate) fn bearer(key: &str) -> AsciiMetadataValue {
    format!("Bearer {key}").parse().unwrap()
}

//! The subcommand `keys`: generates keys, hashes them and checks an identities file.
//!
//! The entry for the file is printed on standard output. The key itself is printed once, on
//! standard error, so that redirecting the output does not store the key in the file.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a command prints for its user

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::file::Identities;
use super::{Scope, key};

/// Operations on keys.
#[derive(Subcommand, Debug)]
pub enum KeysCommand {
    /// Generate a key: prints the key once on standard error and its entry for the identities file
    /// on standard output
    New(NewKey),
    /// Read a key from standard input and print its hash for the identities file
    Hash,
    /// Check an identities file
    Check {
        /// Identities file to check
        file: PathBuf,
    },
}

/// Options of `keys new`.
#[derive(Args, Debug)]
pub struct NewKey {
    /// Name of the identity, as logs show it
    #[arg(long)]
    name: String,
    /// Service that it may call; can be repeated
    #[arg(long = "scope", value_enum, required = true)]
    scopes: Vec<Scope>,
    /// Prefix of the device ids that it may write or read; can be repeated; "" allows every device
    #[arg(long = "device-prefix", value_name = "PREFIX", required = true)]
    device_prefixes: Vec<String>,
    /// Prefix of its producer ids; "" allows any. Without this option it cannot send numbered
    /// batches
    #[arg(long, value_name = "PREFIX")]
    producer_prefix: Option<String>,
    /// Time from which it is refused, such as 2027-12-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

impl KeysCommand {
    /// Runs the subcommand. Prints an error and returns a failure code if it does not succeed.
    #[must_use]
    pub fn run_to_exit_code(self) -> ExitCode {
        match self.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(sentence) => {
                eprintln!("error: {sentence}");
                ExitCode::FAILURE
            }
        }
    }

    fn run(self) -> Result<(), String> {
        match self {
            Self::New(new) => new.run(),
            Self::Hash => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).map_err(|error| error.to_string())?;
                let line = key::entry(text.trim())
                    .ok_or("standard input contains no valid key (tgk_...)")?;
                println!("{line}");
                Ok(())
            }
            Self::Check { file } => {
                let text = std::fs::read(&file)
                    .map_err(|error| format!("cannot read {file:?}: {error}"))?;
                let identities =
                    Identities::parse(&text).map_err(|error| format!("{file:?}: {error}"))?;
                println!("{} identities", identities.count);
                Ok(())
            }
        }
    }
}

impl NewKey {
    fn run(self) -> Result<(), String> {
        let key = key::generate()?;
        let identity = self.identity(&key)?;
        println!("{identity}");
        eprintln!(
            "\nThe key, shown only once. The client sends it as `authorization: Bearer KEY`:\n\n\
             \x20   {key}\n"
        );
        Ok(())
    }

    /// Returns the entry for the identities file, after parsing it to make sure that it is valid.
    fn identity(&self, key: &str) -> Result<String, String> {
        let scopes: Vec<_> =
            self.scopes.iter().map(|scope| format!("{scope:?}").to_lowercase()).collect();
        let line = key::entry(key).ok_or("the generated key is not valid")?;
        let mut lines = vec![
            "[[identity]]".to_owned(),
            format!("name = {}", quoted(&self.name)),
            format!("scopes = {}", list(&scopes)),
            format!("device_prefixes = {}", list(&self.device_prefixes)),
        ];
        lines.extend(
            self.producer_prefix
                .as_ref()
                .map(|prefix| format!("producer_prefix = {}", quoted(prefix))),
        );
        lines.push(format!("keys = {}", list(&[line])));
        lines.extend(self.expires.as_ref().map(|expires| format!("expires = {expires}")));
        let identity = lines.join("\n") + "\n";
        Identities::parse(identity.as_bytes()).map(|_| identity)
    }
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
}

/// Formats a text as a basic string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_identity_is_one_that_the_file_takes_whatever_its_name() {
        let new = NewKey {
            name: "gate \"7\"\n".to_owned(),
            scopes: vec![Scope::Ingest, Scope::Query],
            device_prefixes: vec!["plant-a\\".to_owned(), String::new()],
            producer_prefix: Some("gate-7".to_owned()),
            expires: Some("2030-01-01T00:00:00Z".to_owned()),
        };
        let key = key::generate().unwrap();
        let identities = Identities::parse(new.identity(&key).unwrap().as_bytes()).unwrap();
        let found = identities.by_key(&key, chrono::DateTime::UNIX_EPOCH).unwrap();
        assert_eq!((found.name.as_str(), found.scopes.len()), ("gate \"7\"\n", 2));
        assert!(found.devices.are_all() && found.expires.is_some());
        let wrong = NewKey { expires: Some("soon".to_owned()), ..new };
        assert!(wrong.identity(&key).is_err());
    }
}

//! The subcommand `keys`: makes keys, hashes them, checks a file of identities. What goes into the file is printed on standard
//! output; the key itself, once, on standard error, so that it does not get into the file with it.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a command talks to people

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::file::Identities;
use super::{Scope, key};

/// What to do with keys.
#[derive(Subcommand, Debug)]
pub enum KeysCommand {
    /// Make a key: prints it once on standard error, and its identity for the file on standard output
    New(NewKey),
    /// Read a key from standard input, and print its line for the file
    Hash,
    /// Check a file of identities
    Check {
        /// The file
        file: PathBuf,
    },
}

/// For whom a key is.
#[derive(Args, Debug)]
pub struct NewKey {
    /// Name of the identity, for logs
    #[arg(long)]
    name: String,
    /// Which service it may call; may be given twice
    #[arg(long = "scope", value_enum, required = true)]
    scopes: Vec<Scope>,
    /// With what the ids of its devices begin; may be given several times; "" for every device
    #[arg(long = "device-prefix", value_name = "PREFIX", required = true)]
    device_prefixes: Vec<String>,
    /// With what the ids of its producers begin; "" for any. Without it, it may send no numbered batches
    #[arg(long, value_name = "PREFIX")]
    producer_prefix: Option<String>,
    /// From when on it is refused, such as 2027-12-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

impl KeysCommand {
    /// Does what was asked for, or says what is wrong with what was given.
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
                    .ok_or("standard input holds no key of this service (tgk_...)")?;
                println!("{line}");
                Ok(())
            }
            Self::Check { file } => {
                let text = std::fs::read(&file)
                    .map_err(|error| format!("{file:?} cannot be read: {error}"))?;
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
            "\nThe key, shown this once. The client sends it as `authorization: Bearer KEY`:\n\n    {key}\n"
        );
        Ok(())
    }

    /// The identity for the file, which was read back to make sure that it can be.
    fn identity(&self, key: &str) -> Result<String, String> {
        let scopes: Vec<_> =
            self.scopes.iter().map(|scope| format!("{scope:?}").to_lowercase()).collect();
        let line = key::entry(key).ok_or("the key is none")?;
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

/// A basic string of TOML.
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

//! Configuration of the database connection.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use sqlx::postgres::PgConnectOptions;

/// Connection settings of the database, with secrets already read from their files.
#[derive(Clone)]
pub struct DatabaseConfig {
    /// Address, credentials and database name.
    pub url: PgConnectOptions,
}

/// The settings as given on the command line.
#[derive(Args)]
#[command(next_help_heading = "Database")]
struct DatabaseArgs {
    /// URL of the TimescaleDB database, as postgres://USER:PASSWORD@HOST:PORT/NAME
    #[arg(
        long = "database-url",
        env = "DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        value_parser = url,
        global = true,
        default_value = "postgres://postgres@127.0.0.1:5432/tidegauge"
    )]
    database_url: PgConnectOptions,
    /// File that contains the database URL, such as a mounted secret; replaces DATABASE_URL
    #[arg(
        long,
        env = "DATABASE_URL_FILE",
        value_name = "FILE",
        global = true,
        conflicts_with = "database_url"
    )]
    database_url_file: Option<PathBuf>,
    /// File that contains only the database password; replaces the password of the URL
    #[arg(long, env = "DATABASE_PASSWORD_FILE", value_name = "FILE", global = true)]
    database_password_file: Option<PathBuf>,
}

fn url(text: &str) -> Result<PgConnectOptions, String> {
    text.trim_end()
        .parse()
        .map_err(|_| "expected postgres://USER:PASSWORD@HOST:PORT/NAME".to_owned())
}

impl DatabaseArgs {
    fn read(self) -> Result<DatabaseConfig, String> {
        let mut options = match &self.database_url_file {
            Some(file) => {
                let text = read("DATABASE_URL_FILE", file)?;
                url(&text).map_err(|expected| {
                    format!("DATABASE_URL_FILE: the content of {file:?} is invalid: {expected}")
                })?
            }
            None => self.database_url,
        };
        if let Some(file) = &self.database_password_file {
            options = options
                .password(read("DATABASE_PASSWORD_FILE", file)?.trim_end_matches(['\r', '\n']));
        }
        Ok(DatabaseConfig { url: options })
    }
}

fn read(variable: &str, file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{variable}: cannot read {file:?}: {error}"))
}

impl Args for DatabaseConfig {
    fn augment_args(command: Command) -> Command {
        DatabaseArgs::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        DatabaseArgs::augment_args_for_update(command)
    }
}

impl FromArgMatches for DatabaseConfig {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let read = DatabaseArgs::from_arg_matches(matches)?.read();
        read.map_err(|sentence| clap::Error::raw(ErrorKind::Io, sentence + "\n"))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl fmt::Debug for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address())
    }
}

impl DatabaseConfig {
    /// Returns host, port and database name without credentials, for logs.
    #[must_use]
    pub fn address(&self) -> String {
        format!(
            "{}:{}/{}",
            self.url.get_host(),
            self.url.get_port(),
            self.url.get_database().unwrap_or("postgres")
        )
    }
}

#[cfg(test)]
mod tests {
    use sqlx::ConnectOptions as _;

    use super::*;
    use crate::config::defaults;

    #[test]
    fn secrets_come_from_files_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let url = folder.path().join("url");
        let password = folder.path().join("password");
        fs::write(&url, "postgres://ingest:old@database:5433/points\n").unwrap();
        fs::write(&password, "new secret\n").unwrap();
        let config: DatabaseConfig = defaults(&[
            &format!("--database-url-file={}", url.display()),
            &format!("--database-password-file={}", password.display()),
        ])
        .unwrap();
        assert_eq!(config.address(), "database:5433/points");
        assert!(
            config.url.to_url_lossy().as_str().contains("ingest:new%20secret@"),
            "the password file takes precedence over the URL"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_with_its_variable() {
        let message =
            defaults::<DatabaseConfig>(&["--database-url-file=/absent"]).unwrap_err().to_string();
        assert!(
            message.starts_with("error: DATABASE_URL_FILE: cannot read \"/absent\": No such file"),
            "{message}"
        );
        let both = ["--database-url-file=/absent", "--database-url=postgres://a@b/c"];
        let message = defaults::<DatabaseConfig>(&both).unwrap_err().to_string();
        assert!(
            message.contains("--database-url-file") && message.contains("are both set"),
            "{message}"
        );
    }
}

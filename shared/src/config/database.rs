//! Which database.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use sqlx::postgres::PgConnectOptions;

/// Which database, with what was read from files in its place.
#[derive(Clone)]
pub struct DatabaseConfig {
    /// Where it is and who asks.
    pub url: PgConnectOptions,
}

/// As given on the command line.
#[derive(Args)]
#[command(next_help_heading = "Database")]
struct DatabaseArgs {
    /// TimescaleDB to use, as postgres://USER:PASSWORD@HOST:PORT/NAME
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
    /// File that holds the URL instead, such as a mounted secret
    #[arg(
        long,
        env = "DATABASE_URL_FILE",
        value_name = "FILE",
        global = true,
        conflicts_with = "database_url"
    )]
    database_url_file: Option<PathBuf>,
    /// File that holds the password alone; it takes the place of the URL's
    #[arg(long, env = "DATABASE_PASSWORD_FILE", value_name = "FILE", global = true)]
    database_password_file: Option<PathBuf>,
}

fn url(text: &str) -> Result<PgConnectOptions, String> {
    text.trim_end()
        .parse()
        .map_err(|_| "postgres://USER:PASSWORD@HOST:PORT/NAME is accepted".to_owned())
}

impl DatabaseArgs {
    fn read(self) -> Result<DatabaseConfig, String> {
        let mut options = match &self.database_url_file {
            Some(file) => {
                let text = read("DATABASE_URL_FILE", file)?;
                url(&text).map_err(|accepted| {
                    format!("DATABASE_URL_FILE: what {file:?} holds is not usable: {accepted}")
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
    fs::read_to_string(file)
        .map_err(|error| format!("{variable} is {file:?}, which cannot be read: {error}"))
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
    /// Host, port and name, without the password: for logs.
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
        let (url, password) = (folder.path().join("url"), folder.path().join("password"));
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
            "the file's password holds"
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told_with_its_variable() {
        let told =
            defaults::<DatabaseConfig>(&["--database-url-file=/absent"]).unwrap_err().to_string();
        assert!(
            told.starts_with(
                "error: DATABASE_URL_FILE is \"/absent\", which cannot be read: No such file"
            ),
            "{told}"
        );
        let both = ["--database-url-file=/absent", "--database-url=postgres://a@b/c"];
        let told = defaults::<DatabaseConfig>(&both).unwrap_err().to_string();
        assert!(told.contains("--database-url-file") && told.contains("are both set"), "{told}");
    }
}

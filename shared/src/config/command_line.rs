//! Parsing of arguments and environment variables into a configuration.

use std::ffi::OsString;

use clap::{Args, Command, Parser};

use super::variables::Settings;
use super::wrong_value;

/// Parses the program's arguments and environment variables, and returns them with a summary for
/// the log. Exits with a message if a value is invalid.
///
/// An empty variable counts as not set, because compose files and ConfigMaps produce such
/// variables.
#[must_use]
pub fn parse<C: Parser>() -> (C, Settings) {
    let command = without_empty_variables(C::command());
    read(&command, std::env::args_os().collect()).unwrap_or_else(|error| error.exit())
}

fn read<C: Parser>(
    command: &Command,
    arguments: Vec<OsString>,
) -> Result<(C, Settings), clap::Error> {
    let explained = |error| wrong_value::explain(command, error);
    let matches = command.clone().try_get_matches_from(arguments).map_err(explained)?;
    let config = C::from_arg_matches(&matches).map_err(explained)?;
    Ok((config, Settings::of(command, &matches)))
}

/// Returns the default configuration with the given arguments applied. Ignores the environment.
///
/// # Errors
/// An argument is invalid.
pub fn defaults<T: Args>(arguments: &[&str]) -> Result<T, clap::Error> {
    let command =
        T::augment_args(Command::new("defaults")).mut_args(|argument| argument.env(None::<&str>));
    let explained = |error| wrong_value::explain(&command, error);
    let matches =
        command.clone().no_binary_name(true).try_get_matches_from(arguments).map_err(explained)?;
    T::from_arg_matches(&matches).map_err(explained)
}

fn without_empty_variables(command: Command) -> Command {
    command.mut_args(|argument| {
        let empty = argument
            .get_env()
            .is_some_and(|name| std::env::var_os(name).is_some_and(|value| value.is_empty()));
        if empty { argument.env(None::<&str>) } else { argument }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::config::{DatabaseConfig, LogConfig, ServerConfig};

    /// All configuration that this crate defines.
    #[derive(Parser, Debug)]
    struct Everything {
        #[command(flatten)]
        database: DatabaseConfig,
        #[command(flatten)]
        server: ServerConfig,
        #[command(flatten)]
        log: LogConfig,
    }

    fn read(arguments: &[&str]) -> Result<(Everything, Settings), String> {
        let arguments = ["test"].iter().chain(arguments).map(OsString::from).collect();
        super::read(&Everything::command(), arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn a_wrong_value_is_told_with_its_variable_what_was_found_and_what_is_accepted() {
        let message = |arguments: &[&str]| read(arguments).unwrap_err();
        assert_eq!(
            message(&["--shutdown-grace=soon"]),
            "error: TIDEGAUGE_SHUTDOWN_GRACE (--shutdown-grace) is \"soon\": expected a duration \
             such as 500ms, 30s, 2m or 1h\n"
        );
        assert_eq!(
            message(&["--max-message-bytes=0"]),
            "error: TIDEGAUGE_MAX_MESSAGE_BYTES (--max-message-bytes) is \"0\": expected a number \
             of bytes, at least 1, such as 4194304\n"
        );
        assert_eq!(
            message(&["--log-format=xml"]),
            "error: TIDEGAUGE_LOG_FORMAT (--log-format) is \"xml\": expected plain or json\n"
        );
        assert!(
            message(&["--log=info,=,"])
                .contains("TIDEGAUGE_LOG (--log) is \"info,=,\": expected log levels")
        );
    }

    #[test]
    fn a_wrong_secret_is_not_repeated() {
        let message = read(&["--database-url=postgres://u:hunter2@h:port/n"]).unwrap_err();
        assert!(message.contains("DATABASE_URL (--database-url) is invalid"), "{message}");
        assert!(message.contains("expected postgres://USER:PASSWORD@HOST:PORT/NAME"), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }

    #[test]
    fn settings_are_told_without_secrets() {
        let (_, settings) =
            read(&["--database-url=postgres://u:hunter2@h/n", "--shutdown-grace=3s"]).unwrap();
        let message = settings.to_string();
        assert!(message.contains("shutdown-grace=3s") && message.contains("log=info"), "{message}");
        assert!(
            message.contains("database-url=(secret)") && !message.contains("hunter2"),
            "{message}"
        );
    }
}

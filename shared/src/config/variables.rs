//! The settings of a program, for documentation and for the log.

use std::fmt;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// A setting that can be given as an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Name of the variable.
    pub name: String,
    /// Default value; empty if there is none.
    pub default: String,
    /// Description, as in `--help`.
    pub help: String,
    /// Accepted values if there is a fixed list of them, otherwise empty.
    pub values: Vec<String>,
    /// Heading of its section in `--help`.
    pub heading: String,
    /// Whether its value is secret and must not be shown.
    pub secret: bool,
}

/// Returns the variables of a program in the order of their definition.
#[must_use]
pub fn variables(command: &Command) -> Vec<Variable> {
    let described = |argument: &Arg| {
        let takes_values = argument.get_action().takes_values();
        let defaults = argument.get_default_values().iter().map(|value| value.to_string_lossy());
        Some(Variable {
            name: argument.get_env()?.to_string_lossy().into_owned(),
            default: if takes_values {
                defaults.collect::<Vec<_>>().join(",")
            } else {
                "false".to_owned()
            },
            help: argument.get_help().map(ToString::to_string).unwrap_or_default(),
            values: if takes_values { values(argument) } else { Vec::new() },
            heading: argument.get_help_heading().unwrap_or_default().to_owned(),
            secret: argument.is_hide_env_values_set(),
        })
    };
    command.get_arguments().filter_map(described).collect()
}

fn values(argument: &Arg) -> Vec<String> {
    argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
}

/// The effective value of every setting, for the log: `name=value` separated by spaces, with
/// secrets masked.
#[derive(Clone, Debug)]
pub struct Settings(Vec<String>);

impl Settings {
    pub(super) fn of(command: &Command, matches: &ArgMatches) -> Self {
        let setting = |argument: &Arg| {
            let name = argument.get_long()?;
            let found = matches.try_get_raw(argument.get_id().as_str()).ok().flatten()?;
            let values: Vec<_> = found.map(|value| value.to_string_lossy().into_owned()).collect();
            let given =
                matches.value_source(argument.get_id().as_str()) != Some(ValueSource::DefaultValue);
            let value = if argument.is_hide_env_values_set() && given {
                "(secret)".to_owned()
            } else {
                values.join(",")
            };
            Some(format!("{name}={value}"))
        };
        Self(command.get_arguments().filter_map(setting).collect())
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

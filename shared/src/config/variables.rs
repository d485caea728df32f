//! Every setting that a program has, for lists of them and for the log.

use std::fmt;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// A setting that an environment variable sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What holds where it is not set; empty for nothing.
    pub default: String,
    /// What it is for.
    pub help: String,
    /// What it may be, where it is one of a few.
    pub values: Vec<String>,
    /// Under which heading it stands in `--help`.
    pub heading: String,
    /// Whether its value is not to be shown.
    pub secret: bool,
}

/// The variables of a program, in the order of its definition.
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

/// What came of every setting, for the log: one `name=value` after the other, secrets left out.
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

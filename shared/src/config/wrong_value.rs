//! Messages for invalid settings, with the variable, the value found and what is expected.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

/// Replaces clap's message about an invalid value or a conflict by one that names the variable.
/// Keeps other errors. Never repeats a secret.
pub(super) fn explain(command: &Command, error: clap::Error) -> clap::Error {
    let sentence = match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => sentence(command, &error),
        ErrorKind::ArgumentConflict => conflict(command, &error),
        _ => None,
    };
    sentence.map_or(error, |sentence| clap::Error::raw(ErrorKind::ValueValidation, sentence + "\n"))
}

fn sentence(command: &Command, error: &clap::Error) -> Option<String> {
    let argument = find(command, text(error, ContextKind::InvalidArg)?)?;
    let expected = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) => format!("expected {}", values.join(" or ")),
        _ => error.source()?.to_string(),
    };
    let name = name(argument);
    Some(match text(error, ContextKind::InvalidValue) {
        Some(found) if !argument.is_hide_env_values_set() => {
            format!("{name} is {found:?}: {expected}")
        }
        _ => format!("{name} is invalid: {expected}"),
    })
}

fn conflict(command: &Command, error: &clap::Error) -> Option<String> {
    let one = find(command, text(error, ContextKind::InvalidArg)?)?;
    let other = match error.get(ContextKind::PriorArg)? {
        ContextValue::String(other) => find(command, other)?,
        ContextValue::Strings(others) => find(command, others.first()?)?,
        _ => return None,
    };
    Some(format!("{} and {} are both set; set only one of them", name(one), name(other)))
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        _ => None,
    }
}

/// Returns the argument that clap shows as `--flag <VALUE>`.
fn find<'c>(command: &'c Command, shown: &str) -> Option<&'c Arg> {
    let flag = shown.split([' ', '=', '[']).next()?.strip_prefix("--")?;
    let own = command.get_arguments();
    let all = own.chain(command.get_subcommands().flat_map(Command::get_arguments));
    all.into_iter().find(|argument| argument.get_long() == Some(flag))
}

/// Formats the variable and the flag of an argument.
fn name(argument: &Arg) -> String {
    let flag = argument.get_long().unwrap_or_default();
    match argument.get_env() {
        Some(variable) => format!("{} (--{flag})", variable.to_string_lossy()),
        None => format!("--{flag}"),
    }
}

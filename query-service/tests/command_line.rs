//! What the program says of its arguments and variables.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::process::{Command, Output};

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_query-service"));
    program.args(arguments).envs(variables.iter().copied()).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_wrong_value_is_told_with_its_variable_and_what_is_accepted() {
    let output = run(&[], &[("TIDEGAUGE_SHUTDOWN_GRACE", "soon")]);
    assert_eq!(output.status.code(), Some(2));
    let told = told(&output);
    assert!(told.contains("TIDEGAUGE_SHUTDOWN_GRACE (--shutdown-grace) is \"soon\": a duration is accepted"), "{told}");
}

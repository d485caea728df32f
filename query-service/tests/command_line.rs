//! Checks of the program's arguments and environment variables.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

#[path = "../../shared/tests/both_services/command_line.rs"]
mod both_services;

const PROGRAM: &str = env!("CARGO_BIN_EXE_query-service");
const SCOPE: &str = "query";

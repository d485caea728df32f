//! Formats the outcome of each case as a table for people or as JSON for programs.

use std::fmt::Write as _;

use e2e::abuse::Outcome;
use serde_json::{Value, json};

/// Returns a JSON array with one entry per case.
pub(super) fn json(outcomes: &[Outcome]) -> Value {
    let entry = |outcome: &Outcome| {
        let Outcome { case, expected, seen, ok } = outcome;
        json!({ "case": case, "expected": expected, "seen": seen, "ok": ok })
    };
    outcomes.iter().map(entry).collect()
}

/// Returns a table with two lines or more per case.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut table = format!("{:24} {:4} expected, and observed", "case", "ok");
    for Outcome { case, expected, seen, ok } in outcomes {
        let ok = if *ok { "yes" } else { "NO" };
        let _ = write!(
            table,
            "\n{case:24} {ok:4} expected: {expected}\n{:29} {}",
            "",
            seen.replace("; ", "\n                              ")
        );
    }
    table
}

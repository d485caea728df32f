//! Formats the finding of each fault as a table for people or as JSON for programs. Counts are in
//! points, peaks of memory in MiB.

use std::fmt::Write as _;

use e2e::faults::{Fault, Finding};
use serde_json::{Value, json};

/// Returns a JSON array with one entry per fault.
pub(super) fn json(findings: &[(Fault, Finding)]) -> Value {
    let entry = |(fault, finding): &(Fault, Finding)| {
        let Finding { rounds, acknowledged, lost, doubled, .. } = finding;
        let mut entry = json!({
            "case": fault.name(),
            "expected": Finding::expected(),
            "seen": finding.to_string(),
            "ok": finding.holds(),
            "rounds": rounds,
            "acknowledged": acknowledged,
            "lost": lost,
            "doubled": doubled,
        });
        if *fault == Fault::DatabaseAway {
            entry["peak_mib"] = json!(finding.peak_mib);
        }
        entry
    };
    findings.iter().map(entry).collect()
}

/// Returns a table with one line per fault.
pub(super) fn table(findings: &[(Fault, Finding)]) -> String {
    let mut table = format!(
        "{:42} {:>6} {:>19} {:>6} {:>8} {:>9}",
        "fault", "rounds", "points acknowledged", "lost", "doubled", "peak RSS"
    );
    for (fault, finding) in findings {
        let Finding { rounds, acknowledged, lost, doubled, .. } = finding;
        let peak = finding.peak_mib.map(|peak| format!("{peak:.0} MiB")).unwrap_or_default();
        let name = fault.name();
        let _ = write!(
            table,
            "\n{name:42} {rounds:>6} {acknowledged:>19} {lost:>6} {doubled:>8} {peak:>9}"
        );
    }
    table
}

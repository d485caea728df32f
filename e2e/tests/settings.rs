//! `.env.sample` and `.ci/variables.json` match the definitions of the two programs. To regenerate
//! both files, run `TIDEGAUGE_UPDATE_FILES=1 cargo test --package e2e --test settings`.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::fs;

use e2e::settings::{env_sample, root, variable_names};

fn holds(file: &str, wanted: &str) {
    let path = root().join(file);
    if std::env::var_os("TIDEGAUGE_UPDATE_FILES").is_some() {
        fs::write(&path, wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    assert!(
        found == wanted,
        "{file} differs from the programs' definitions: see the top of e2e/tests/settings.rs"
    );
}

#[test]
fn the_sample_lists_every_variable_of_both_services_with_its_default() {
    holds(".env.sample", &env_sample());
}

#[test]
fn the_deployment_check_knows_every_variable_of_both_services() {
    holds(".ci/variables.json", &format!("{:#}\n", variable_names()));
}

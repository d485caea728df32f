//! `.env.sample` and the list that `.ci/check-k8s` goes by are what the two programs define. To write them again:
//! `TIDEGAUGE_UPDATE_FILES=1 cargo test --package e2e --test settings`.

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
        "{file} is not what the programs define: see the head of e2e/tests/settings.rs"
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

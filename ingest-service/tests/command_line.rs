//! Checks of the program's arguments and environment variables.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

#[path = "../../shared/tests/both_services/command_line.rs"]
mod both_services;

use both_services::{run, stderr_of};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ingest-service");
const SCOPE: &str = "ingest";

#[tokio::test]
async fn migrate_refuses_conflicting_settings_once_the_schema_is_there() {
    let database = e2e::OwnDatabase::start_empty().await;
    let migrate = async |accepted: &str| {
        let variables = [
            ("DATABASE_URL".to_owned(), database.url.clone()),
            ("TIDEGAUGE_OLDEST_ACCEPTED".to_owned(), accepted.to_owned()),
        ];
        tokio::task::spawn_blocking(move || {
            let variables: Vec<(&str, &str)> =
                variables.iter().map(|(name, value)| (&**name, &**value)).collect();
            run(&["migrate"], &variables)
        })
        .await
        .unwrap()
    };
    let refused = migrate("400days").await;
    assert_eq!(refused.status.code(), Some(1));
    let sentence = "unsafe settings: TIDEGAUGE_OLDEST_ACCEPTED is 400 days, but refreshes of \
                    points_1min look back 31 days";
    let stderr = stderr_of(&refused);
    assert!(stderr.contains("schema is up to date") && stderr.contains(sentence), "{stderr}");
    assert!(migrate("30days").await.status.success());
    sqlx::query("SELECT set_accepted_age('400 days')")
        .execute(&mut database.sql().await.0)
        .await
        .unwrap();
    assert!(migrate("400days").await.status.success());
}

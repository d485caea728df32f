//! The cases of `cargo xtask abuse`: no caller gets in without permission, and none is in the way
//! of others.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

/// A module, so that a filter by name finds these tests: `cargo xtask test abuse`.
mod abuse {
    use e2e::abuse::{Group, Setting};
    use e2e::{built_program, database_url};

    async fn all_is_as_expected(group: Group) {
        let ingest_service = built_program("ingest-service");
        let query_service = built_program("query-service");
        let setting = Setting { database_url: database_url(), ingest_service, query_service };
        let outcomes = setting.run(group).await.unwrap();
        let wrong: Vec<_> = outcomes.iter().filter(|outcome| !outcome.ok).collect();
        assert!(wrong.is_empty() && !outcomes.is_empty(), "{wrong:#?}");
    }

    #[tokio::test]
    async fn whoever_has_no_key_or_another_ones_gets_nothing_in_and_nothing_out() {
        all_is_as_expected(Group::Access).await;
    }

    #[tokio::test]
    async fn a_client_certificate_stands_for_its_identity_and_no_other() {
        all_is_as_expected(Group::Certificates).await;
    }

    #[tokio::test]
    async fn handshakes_that_never_end_are_ended_and_hold_up_nobody() {
        all_is_as_expected(Group::Handshakes).await;
    }

    #[tokio::test]
    async fn certificate_and_identities_are_replaced_under_load_without_a_failed_call() {
        all_is_as_expected(Group::Replacement).await;
    }

    #[tokio::test]
    async fn one_connection_too_many_is_turned_away_and_the_others_stay() {
        all_is_as_expected(Group::Connections).await;
    }
}

//! The cases of `cargo xtask abuse`, in their short form.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

/// A module, so that a filter by name finds these tests: `cargo xtask test strain`.
mod strain {
    use e2e::strain::{Setting, Strain};
    use e2e::{built_ingest_service, database_url};

    async fn is_borne(strain: Strain) {
        let setting = Setting {
            database_url: database_url(),
            ingest_service: built_ingest_service(),
            quick: true,
            judge_latency: false,
        };
        let outcome = setting.run(strain).await.unwrap();
        assert!(outcome.ok, "{outcome:#?}");
    }

    #[tokio::test]
    async fn a_message_over_the_limit_is_refused_and_disturbs_nobody() {
        is_borne(Strain::MessageOverTheLimit).await;
    }

    #[tokio::test]
    async fn a_decompression_bomb_is_refused_in_bounded_memory() {
        is_borne(Strain::DecompressionBomb).await;
    }

    #[tokio::test]
    async fn headers_without_end_close_their_connection() {
        is_borne(Strain::HeaderFlood).await;
    }

    #[tokio::test]
    async fn streams_reset_at_once_close_their_connection() {
        is_borne(Strain::RapidReset).await;
    }

    #[tokio::test]
    async fn idle_connections_disturb_nobody() {
        is_borne(Strain::IdleConnections).await;
    }

    #[tokio::test]
    async fn slow_senders_disturb_nobody_in_bounded_memory() {
        is_borne(Strain::SlowSenders).await;
    }

    #[tokio::test]
    async fn random_bytes_close_their_connection() {
        is_borne(Strain::RandomBytes).await;
    }

    #[tokio::test]
    async fn half_requests_leave_nothing_behind() {
        is_borne(Strain::HalfRequests).await;
    }

    #[tokio::test]
    async fn one_client_with_many_streams_loses_nothing_and_the_other_is_served() {
        is_borne(Strain::GreedyClient).await;
    }

    #[tokio::test]
    async fn overload_holds_streams_up_and_refuses_calls_for_now_in_bounded_memory() {
        is_borne(Strain::Overload).await;
    }

    #[tokio::test]
    async fn sigterm_ends_the_service_in_time_and_loses_nothing_acknowledged() {
        is_borne(Strain::Shutdown).await;
    }
}

//! The faults of `cargo xtask faults`, a few rounds each. No acknowledged point is lost, and none
//! is stored twice.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

/// A module, so that a filter by name finds these tests: `cargo xtask test faults`.
mod faults {
    use std::time::Duration;

    use e2e::faults::{Fault, Setting};
    use e2e::{Moment, Sql, built_ingest_service, database_url};

    async fn nothing_is_lost_or_doubled(fault: Fault) {
        let setting = Setting {
            database_url: database_url(),
            ingest_service: built_ingest_service(),
            rounds: 2,
            away: Duration::from_secs(3),
            full_load: 8,
        };
        let finding = setting.run(fault).await.unwrap();
        assert!(finding.holds(), "{finding:#?}");
    }

    #[tokio::test]
    async fn batches_acknowledged_before_a_kill_are_there_once() {
        nothing_is_lost_or_doubled(Fault::ServiceKilled).await;
    }

    #[tokio::test]
    async fn a_cut_in_the_middle_of_copy_loses_and_doubles_nothing() {
        nothing_is_lost_or_doubled(Fault::DatabaseCut(Moment::InCopy)).await;
    }

    #[tokio::test]
    async fn a_cut_before_commit_loses_and_doubles_nothing() {
        nothing_is_lost_or_doubled(Fault::DatabaseCut(Moment::BeforeCommit)).await;
    }

    #[tokio::test]
    async fn a_commit_that_never_arrives_loses_and_doubles_nothing() {
        nothing_is_lost_or_doubled(Fault::DatabaseCut(Moment::CommitSwallowed)).await;
    }

    #[tokio::test]
    async fn a_commit_that_arrives_after_the_connection_was_given_up_doubles_nothing() {
        nothing_is_lost_or_doubled(Fault::DatabaseCut(Moment::CommitLate)).await;
    }

    #[tokio::test]
    async fn a_commit_whose_answer_is_lost_doubles_nothing() {
        nothing_is_lost_or_doubled(Fault::DatabaseCut(Moment::AnswerWithheld)).await;
    }

    #[tokio::test]
    async fn a_small_flush_that_arrives_after_the_connection_was_given_up_is_not_written_twice() {
        nothing_is_lost_or_doubled(Fault::DatabaseCut(Moment::AtOnceLate)).await;
    }

    #[tokio::test]
    async fn a_small_flush_whose_answer_is_lost_is_not_written_twice() {
        nothing_is_lost_or_doubled(Fault::DatabaseCut(Moment::AtOnceAnswerWithheld)).await;
    }

    #[tokio::test]
    async fn lost_acknowledgements_double_nothing() {
        nothing_is_lost_or_doubled(Fault::AcksDropped).await;
    }

    #[tokio::test]
    async fn two_streams_of_one_producer_at_two_instances_store_each_batch_once() {
        nothing_is_lost_or_doubled(Fault::TwoStreamsOneProducer).await;
    }

    #[tokio::test]
    async fn producers_that_move_with_batches_in_flight_lose_and_double_nothing() {
        nothing_is_lost_or_doubled(Fault::ProducerMoves).await;
    }

    #[tokio::test]
    async fn a_batch_that_32_clients_send_at_once_is_stored_once() {
        nothing_is_lost_or_doubled(Fault::SameBatch32Clients).await;
    }

    #[tokio::test]
    async fn resends_after_a_kill_are_answered_as_the_first_sending_was() {
        nothing_is_lost_or_doubled(Fault::ResendsAnsweredAlike).await;
    }

    #[tokio::test]
    async fn numbers_that_are_used_twice_are_refused_and_a_new_epoch_goes_on() {
        nothing_is_lost_or_doubled(Fault::ReuseRefused).await;
    }

    /// Returns whether rows can be locked while others make progress. A single backend runs one
    /// transaction at a time.
    async fn rows_can_be_held() -> bool {
        !Sql::connect().await.has_one_backend().await
    }

    #[tokio::test]
    async fn producers_of_a_stopped_instance_go_on_elsewhere_within_ten_seconds() {
        if rows_can_be_held().await {
            nothing_is_lost_or_doubled(Fault::InstanceStopped).await;
        }
    }

    #[tokio::test]
    async fn locked_producers_hold_nobody_else_up() {
        if rows_can_be_held().await {
            nothing_is_lost_or_doubled(Fault::RowsLocked).await;
        }
    }

    #[tokio::test]
    async fn an_outage_under_full_load_holds_clients_up_in_bounded_memory_and_loses_nothing() {
        nothing_is_lost_or_doubled(Fault::DatabaseAway).await;
    }
}

//! Faults under load. Compares a journal of what was sent and acknowledged with what SQL finds.
//!
//! Each fault strikes several times. Clients resend what was not acknowledged, as the contract
//! requires.

mod acks_dropped;
mod checker;
mod client;
mod content;
mod database_away;
mod database_cut;
mod held_up;
pub(crate) mod journal;
pub(crate) mod load;
mod one_producer;
mod resends;
mod service_killed;
pub(crate) mod totals;

use std::path::PathBuf;
use std::time::Duration;

use crate::{IngestProcess, Moment};
pub use checker::Finding;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The service is killed with SIGKILL at random moments.
    ServiceKilled,
    /// The connection to the database is cut at a given moment of the protocol.
    DatabaseCut(Moment),
    /// Acknowledgements are lost on their way, then the connection breaks.
    AcksDropped,
    /// Two streams send the same batches through two instances.
    TwoStreamsOneProducer,
    /// Producers move to another instance with batches in flight.
    ProducerMoves,
    /// 32 clients send the same batch through two instances.
    SameBatch32Clients,
    /// The database is unreachable for a while under full load.
    DatabaseAway,
    /// Batches are resent after a kill, to an instance that accepts other points.
    ResendsAnsweredAlike,
    /// A sender restarts its numbering at 1 for new data, in its old epoch.
    ReuseRefused,
    /// An instance is stopped with SIGSTOP in the middle of a transaction, and its producers move
    /// to another instance. Needs a database with more than one backend.
    InstanceStopped,
    /// SQL holds locks on the ledger rows of some producers. Needs a database with more than one
    /// backend.
    RowsLocked,
}

impl Fault {
    /// All faults, in the order of the report.
    pub const ALL: [Self; 17] = [
        Self::ServiceKilled,
        Self::DatabaseCut(Moment::InCopy),
        Self::DatabaseCut(Moment::BeforeCommit),
        Self::DatabaseCut(Moment::CommitSwallowed),
        Self::DatabaseCut(Moment::CommitLate),
        Self::DatabaseCut(Moment::AnswerWithheld),
        Self::DatabaseCut(Moment::AtOnceLate),
        Self::DatabaseCut(Moment::AtOnceAnswerWithheld),
        Self::AcksDropped,
        Self::TwoStreamsOneProducer,
        Self::ProducerMoves,
        Self::SameBatch32Clients,
        Self::DatabaseAway,
        Self::ResendsAnsweredAlike,
        Self::ReuseRefused,
        Self::InstanceStopped,
        Self::RowsLocked,
    ];

    /// Returns the name that reports use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ServiceKilled => "service_killed",
            Self::DatabaseCut(Moment::InCopy) => "database_cut_in_copy",
            Self::DatabaseCut(Moment::BeforeCommit) => "database_cut_before_commit",
            Self::DatabaseCut(Moment::CommitSwallowed) => {
                "database_cut_in_commit_before_it_arrives"
            }
            Self::DatabaseCut(Moment::CommitLate) => "database_cut_in_commit_it_arrives_late",
            Self::DatabaseCut(Moment::AnswerWithheld) => {
                "database_cut_after_commit_answer_withheld"
            }
            Self::DatabaseCut(Moment::AtOnceLate) => "database_cut_in_small_flush_it_arrives_late",
            Self::DatabaseCut(Moment::AtOnceAnswerWithheld) => {
                "database_cut_after_small_flush_answer_withheld"
            }
            Self::AcksDropped => "acks_dropped",
            Self::TwoStreamsOneProducer => "two_streams_one_producer",
            Self::ProducerMoves => "producer_moves",
            Self::SameBatch32Clients => "same_batch_32_clients",
            Self::DatabaseAway => "database_away",
            Self::ResendsAnsweredAlike => "resends_answered_alike",
            Self::ReuseRefused => "reuse_refused",
            Self::InstanceStopped => "instance_stopped",
            Self::RowsLocked => "rows_locked",
        }
    }
}

/// The service under test, and the number and length of faults.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Address of a database that has the schema.
    pub database_url: String,
    /// Path of the ingest-service binary.
    pub ingest_service: PathBuf,
    /// How often each fault strikes. The database outage happens only once.
    pub rounds: u32,
    /// Length of the database outage.
    pub away: Duration,
    /// Number of clients that produce full load, each on a connection of its own.
    pub full_load: usize,
}

impl Setting {
    /// Injects the fault, then compares the journal with the database.
    ///
    /// # Errors
    /// Fails if the fault could not be injected, or if the service broke the contract in a way
    /// other than losing or doubling points.
    pub async fn run(&self, fault: Fault) -> anyhow::Result<Finding> {
        match fault {
            Fault::ServiceKilled => service_killed::run(self).await,
            Fault::DatabaseCut(moment) => database_cut::run(self, moment).await,
            Fault::AcksDropped => acks_dropped::run(self).await,
            Fault::TwoStreamsOneProducer => one_producer::two_streams(self).await,
            Fault::ProducerMoves => one_producer::moves(self).await,
            Fault::SameBatch32Clients => one_producer::same_batch(self).await,
            Fault::DatabaseAway => database_away::run(self).await,
            Fault::ResendsAnsweredAlike => resends::answered_alike(self).await,
            Fault::ReuseRefused => resends::reuse_refused(self).await,
            Fault::InstanceStopped => held_up::instance_stopped(self).await,
            Fault::RowsLocked => held_up::rows_locked(self).await,
        }
    }

    async fn start_service(&self) -> anyhow::Result<IngestProcess> {
        IngestProcess::start(&self.ingest_service, &self.database_url).await
    }
}

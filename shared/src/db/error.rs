//! Classification of database errors: temporary or permanent.

/// Returns whether the same work may succeed later on a new connection: the database is
/// unreachable, out of resources or restarting, or it aborted the transaction to resolve a
/// deadlock.
#[must_use]
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            let class = code.get(..2).unwrap_or_default();
            matches!(class, "08" | "40" | "53" | "57" | "58")
                || matches!(&*code, "25006" | "55P03" | "XX000" | "XX001")
        }),
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        _ => false,
    }
}

/// Returns whether the database permanently refused the data: a data, integrity or constraint
/// error.
#[must_use]
pub fn is_refusal(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(database) = error else { return false };
    database.code().is_some_and(|code| matches!(code.get(..2), Some("22" | "23" | "44" | "P0")))
}

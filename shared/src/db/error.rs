//! What an error of the database means: away for now, or refused for good.

/// Whether the same work may succeed later, on a new connection: the database is away, full, restarting, or chose this
/// transaction as the victim of a deadlock.
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

/// Whether the database looked at the data and refused it for good: integrity, data or constraint errors.
#[must_use]
pub fn is_refusal(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(database)
        if database.code().is_some_and(|code| matches!(code.get(..2), Some("22" | "23" | "44" | "P0"))))
}

//! Checks that the database is TimescaleDB Community in a supported version.

use sqlx::postgres::PgConnection;

/// Oldest supported version of TimescaleDB, as (major, minor).
const OLDEST: (u32, u32) = (2, 23);

/// Versions of a supported database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    /// Version of PostgreSQL, such as "17.5".
    pub postgres: String,
    /// Version of TimescaleDB, such as "2.28.3".
    pub timescaledb: String,
}

/// Reason why a database is not supported. Each message says what was found and what to use.
#[derive(Debug, thiserror::Error)]
pub enum EditionError {
    /// TimescaleDB is not installed.
    #[error("PostgreSQL {postgres} at this address has no TimescaleDB extension; use {WANTED}")]
    Absent {
        /// Version of PostgreSQL.
        postgres: String,
    },
    /// It is the Apache edition.
    #[error(
        "found the Apache edition of TimescaleDB {timescaledb} \
         (timescaledb.license = '{license}'), which has no continuous aggregates; use {WANTED}"
    )]
    Apache {
        /// Version of TimescaleDB.
        timescaledb: String,
        /// Value of `timescaledb.license`.
        license: String,
    },
    /// The version is too old.
    #[error("found TimescaleDB {timescaledb}; use {WANTED}")]
    TooOld {
        /// Version of TimescaleDB.
        timescaledb: String,
    },
    /// The database did not respond.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

const WANTED: &str = "TimescaleDB Community 2.23 or later, for example the image \
                      timescale/timescaledb (not -oss), or the embedded one: \
                      node embedded-timescaledb/server.mjs";

/// Returns the versions of the database if it is supported. Changes nothing.
///
/// # Errors
/// See [`EditionError`].
pub async fn check_edition(connection: &mut PgConnection) -> Result<Edition, EditionError> {
    let (postgres, timescaledb, license): (String, Option<String>, Option<String>) =
        sqlx::query_as(include_str!("edition.sql")).fetch_one(connection).await?;
    judge(postgres, timescaledb, license)
}

fn judge(
    postgres: String,
    timescaledb: Option<String>,
    license: Option<String>,
) -> Result<Edition, EditionError> {
    let Some(timescaledb) = timescaledb else { return Err(EditionError::Absent { postgres }) };
    // The license setting exists only after the extension's library was loaded. Without it, a wrong
    // edition is detected after `CREATE EXTENSION`.
    if let Some(license) = license
        && license != "timescale"
    {
        return Err(EditionError::Apache { timescaledb, license });
    }
    let mut numbers = timescaledb.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < OLDEST {
        return Err(EditionError::TooOld { timescaledb });
    }
    Ok(Edition { postgres, timescaledb })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(timescaledb: Option<&str>, license: Option<&str>) -> String {
        match judge("16.3".to_owned(), timescaledb.map(str::to_owned), license.map(str::to_owned)) {
            Ok(edition) => format!("ok {}", edition.timescaledb),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn community_from_2_23_on_serves() {
        assert_eq!(judged(Some("2.23.0"), Some("timescale")), "ok 2.23.0");
        assert_eq!(judged(Some("3.0.1-dev"), Some("timescale")), "ok 3.0.1-dev");
    }

    #[test]
    fn other_databases_are_named_with_what_to_use_instead() {
        assert!(
            judged(None, None).starts_with("PostgreSQL 16.3 at this address has no TimescaleDB")
        );
        assert!(
            judged(Some("2.24.0"), Some("apache"))
                .starts_with("found the Apache edition of TimescaleDB 2.24.0")
        );
        assert!(
            judged(Some("2.9.3"), Some("timescale"))
                .starts_with("found TimescaleDB 2.9.3; use TimescaleDB Comm")
        );
    }
}

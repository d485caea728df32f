//! A plain owner, without superuser rights and without CREATEROLE, installs and operates Tidegauge
//! in a database in which a superuser created the extension. The services have logins of their own.
//!
//! This also runs on the embedded database. Its roles have no passwords, but grants apply.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{OwnDatabase, Services, Sql, batch, now, point, wait_until_serving};
use shared::config::DatabaseConfig;
use shared::db;
use shared::granularity::Granularity;
use shared::proto::v1;
use sqlx::AssertSqlSafe;
use url::Url;

const HOUR: i64 = 3_600_000_000;
const PASSWORD: &str = "plain";
/// Step 1, which creates the roles of the services.
const ROLES_STEP: &str = include_str!("../../migrations/0001_roles.sql");

fn db_config(url: &str) -> DatabaseConfig {
    DatabaseConfig { url: url.parse().unwrap() }
}

async fn run(sql: &mut Sql, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(&mut sql.0)
        .await
        .unwrap_or_else(|error| panic!("{statements}: {error}"));
}

/// Returns the error of a statement that must fail.
async fn refusal(sql: &mut Sql, statement: &str) -> String {
    match sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut sql.0).await {
        Ok(_) => panic!("allowed: {statement}"),
        Err(error) => error.to_string(),
    }
}

/// A database whose owner has no rights beyond it, and three logins.
struct Plain {
    database: OwnDatabase,
    owner: String,
    ingest: String,
    query: String,
}

impl Plain {
    /// Creates the database, the extension and the roles, as a superuser.
    async fn prepare() -> Self {
        let database = OwnDatabase::start_empty().await;
        let mut sql = database.sql().await;
        run(&mut sql, "CREATE EXTENSION IF NOT EXISTS timescaledb").await;
        // The scheduler must not run the jobs that the test runs. The embedded database has none.
        let stop = "SELECT _timescaledb_functions.stop_background_workers()";
        drop(sqlx::raw_sql(stop).execute(&mut sql.0).await);
        for role in ["tidegauge_ingest", "tidegauge_query"] {
            // Another test may be creating it.
            drop(
                sqlx::raw_sql(AssertSqlSafe(format!("CREATE ROLE {role}")))
                    .execute(&mut sql.0)
                    .await,
            );
        }
        let suffix = format!("{:016x}", rand::random::<u64>());
        let login = |name: &str| format!("plain_{name}_{suffix}");
        let plain = Self {
            database,
            owner: login("owner"),
            ingest: login("ingest"),
            query: login("query"),
        };
        for name in [&plain.owner, &plain.ingest, &plain.query] {
            let create = format!(
                "CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}' \
                 NOSUPERUSER NOCREATEROLE NOCREATEDB NOBYPASSRLS"
            );
            run(&mut sql, &create).await;
        }
        run(&mut sql, &format!("GRANT tidegauge_ingest TO {}", plain.ingest)).await;
        run(&mut sql, &format!("GRANT tidegauge_query TO {}", plain.query)).await;
        let name: String =
            sqlx::query_scalar("SELECT current_database()").fetch_one(&mut sql.0).await.unwrap();
        run(&mut sql, &format!("ALTER DATABASE {name} OWNER TO {}", plain.owner)).await;
        sql.close().await;
        plain
    }

    /// Returns the address of the database for one of its logins.
    fn url(&self, login: &str) -> String {
        let mut url = Url::parse(&self.database.url).unwrap();
        url.set_username(login).unwrap();
        url.set_password(Some(PASSWORD)).unwrap();
        url.to_string()
    }

    /// Connects as one of the logins, and checks that it is no superuser.
    async fn sql(&self, login: &str) -> Sql {
        let mut sql = Sql::connect_to(&self.url(login)).await;
        let found: (String, bool) = sqlx::query_as(
            "SELECT current_user::text, rolsuper FROM pg_roles WHERE rolname = current_user",
        )
        .fetch_one(&mut sql.0)
        .await
        .unwrap();
        assert_eq!(found, (login.to_owned(), false));
        sql
    }

    /// Removes the database and then its roles, which belong to the server.
    async fn remove(self) {
        let Self { database, owner, ingest, query } = self;
        drop(database);
        let mut sql = Sql::connect().await;
        run(&mut sql, &format!("DROP ROLE IF EXISTS {owner}, {ingest}, {query}")).await;
        sql.close().await;
    }
}

/// Runs every job and every function for operators once.
async fn operate(sql: &mut Sql) {
    let jobs: Vec<i32> = sqlx::query_scalar(
        "SELECT job_id FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY job_id",
    )
    .fetch_all(&mut sql.0)
    .await
    .unwrap();
    assert_eq!(jobs.len(), 7, "{jobs:?}");
    for job in jobs {
        run(sql, &format!("CALL run_job({job})")).await;
    }
    for statement in [
        "CALL leave_out_rows_set_aside('points_1min')",
        "SELECT set_accepted_age('40 days')",
        "SELECT set_retention('points', '90 days')",
        "CALL refresh_rollups(now() - INTERVAL '3 days', now())",
    ] {
        run(sql, statement).await;
    }
}

#[tokio::test]
async fn a_plain_owner_migrates_and_the_services_store_and_answer_a_point() {
    let plain = Plain::prepare().await;
    let owner = db_config(&plain.url(&plain.owner));
    db::migrate(&owner).await.unwrap();
    db::migrate(&owner).await.expect("it is safe to repeat");

    let query_url = plain.url(&plain.query);
    let services = Services::start_query_with(&plain.url(&plain.ingest), |config| {
        config.database = db_config(&query_url);
    })
    .await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
    let at = Granularity::Day.floor(now()) - 30 * HOUR;
    services.send(batch(vec![point("plain", at, 4.5)])).await.unwrap();
    let found = services.range("plain", at, at + HOUR).await.unwrap();
    assert_eq!((found.timestamps_us, found.values), (vec![at], vec![4.5]));

    operate(&mut plain.sql(&plain.owner).await).await;
    Sql::forget_watermarks().await;
    for granularity in [v1::Granularity::Minute, v1::Granularity::Hour, v1::Granularity::Day] {
        let (header, found) =
            services.aggregated("plain", granularity, (at, at + HOUR)).await.unwrap();
        assert!(header.watermark.is_some(), "{granularity:?}");
        assert_eq!((found.count, found.last), (vec![1], vec![4.5]), "{granularity:?}");
    }

    let mut query = plain.sql(&plain.query).await;
    let insert = "INSERT INTO series (device_id, metric_name) VALUES ('x', 'y')";
    assert!(refusal(&mut query, insert).await.contains("permission denied"));
    query.close().await;
    let mut ingest = plain.sql(&plain.ingest).await;
    assert!(refusal(&mut ingest, "DELETE FROM points").await.contains("permission denied"));
    ingest.close().await;
    services.begin_shutdown();
    services.ended().await;
    plain.remove().await;
}

#[tokio::test]
async fn an_owner_that_may_not_create_roles_is_told_which_ones_to_create() {
    let plain = Plain::prepare().await;
    let mut sql = plain.sql(&plain.owner).await;
    let suffix = format!("_{:016x}", rand::random::<u64>());
    let step = ROLES_STEP.replace("tidegauge_", "absent_").replace("_query", &suffix);
    let refused = refusal(&mut sql, &step).await;
    let expected = format!(
        "{} may not create the roles of the services: run this as a role that may, and migrate \
         again: CREATE ROLE absent_ingest; CREATE ROLE absent{suffix}",
        plain.owner
    );
    assert!(refused.contains(&expected), "{refused}");
    sql.close().await;
    plain.remove().await;
}

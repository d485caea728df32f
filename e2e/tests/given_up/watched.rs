//! The service under test and its connections to the database.

use std::time::Duration;

use e2e::{Services, Sql, database_url, now, unique};
use shared::config::DatabaseConfig;
use shared::db::Micros;
use sqlx::AssertSqlSafe;

use crate::{AGO, CONNECTIONS, Client, PATIENCE};

/// A query-service with a login of its own, so that its connections can be told from those of other
/// tests.
pub(crate) struct Watched {
    pub(crate) client: Client,
    login: String,
    pub(crate) sql: Sql,
    pub(crate) services: Services,
}

impl Watched {
    pub(crate) async fn start(query_timeout: Duration) -> Self {
        let mut sql = Sql::connect().await;
        let login = unique("reader").replace('-', "_");
        let create = format!("CREATE ROLE {login} LOGIN; GRANT tidegauge_query TO {login}");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut sql.0).await.unwrap();
        let url =
            database_url().parse::<sqlx::postgres::PgConnectOptions>().unwrap().username(&login);
        let everyone = database_url();
        let services = Services::start_query_with(&everyone, |config| {
            config.database = DatabaseConfig { url };
            config.database_connections = CONNECTIONS.try_into().unwrap();
            config.query_timeout = query_timeout;
        });
        let services = services.await;
        Self { client: services.query.clone(), login, sql, services }
    }

    /// Counts the connections of the service: those in a statement or transaction, and all of them.
    pub(crate) async fn connections(&mut self) -> (i64, i64) {
        let statement = "SELECT count(*) FILTER (WHERE state <> 'idle'), count(*)
                         FROM pg_stat_activity WHERE usename = $1 AND pid <> pg_backend_pid()";
        sqlx::query_as(statement).bind(&self.login).fetch_one(&mut self.sql.0).await.unwrap()
    }

    /// Waits until none of the service's connections runs a statement.
    pub(crate) async fn wait_until_at_rest(&mut self) {
        let at_rest = async {
            while self.connections().await.0 > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, at_rest)
            .await
            .expect("statements still run at the deadline");
    }

    /// Writes points in small statements. The embedded database serves one statement at a time.
    pub(crate) async fn write(&mut self, device: &str, points: i32) {
        const PIECE: i32 = 20_000;
        let add = "INSERT INTO series (device_id, metric_name) VALUES ($1, 'temperature') \
                   RETURNING series_id";
        let id: i32 =
            sqlx::query_scalar(add).bind(device).fetch_one(&mut self.sql.0).await.unwrap();
        let statement = "INSERT INTO points SELECT $2 + at * interval '50 ms', $1, at \
                         FROM generate_series($3, $4) at";
        let start = Micros(now() - AGO);
        for first in (0..points).step_by(usize::try_from(PIECE).unwrap()) {
            let last = points.min(first + PIECE) - 1;
            let insert = sqlx::query(statement).bind(id).bind(start).bind(first).bind(last);
            insert.execute(&mut self.sql.0).await.unwrap();
        }
    }
}

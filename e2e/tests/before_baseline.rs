//! A database whose schema is from before the baseline of the migrations is recognised, and its
//! data can be loaded into a new one with the commands of `migrations/README.md`.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use e2e::{OwnDatabase, Services, Sql, batch, now, numbered, point, wait_until_serving};
use shared::db;
use shared::granularity::Granularity;
use shared::proto::v1;
use sqlx::AssertSqlSafe;
use tokio_stream::StreamExt as _;

const README: &str = include_str!("../../migrations/README.md");
const TITLE: &str = "Databases from before the baseline";
const MESSAGE: &str = "the schema of this database is from before the baseline of the migrations";

/// The commands of the README's section.
struct Commands {
    tables: Vec<String>,
    copy_out: String,
    copy_in: String,
    then: Vec<String>,
}

impl Commands {
    fn read() -> Self {
        let section = README.split(&format!("## {TITLE}\n")).nth(1).expect("the section");
        let section = section.split("\n## ").next().unwrap();
        let tables = section.split("for table in ").nth(1).unwrap().split(';').next().unwrap();
        let mut statements = section
            .split("--command \"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned());
        let copy_out = statements.next().unwrap();
        let copy_in = statements.next().unwrap();
        assert!(copy_out.ends_with("TO STDOUT") && copy_in.ends_with("FROM STDIN"), "{section}");
        let tables = tables.split_whitespace().map(str::to_owned).collect();
        Self { tables, copy_out, copy_in, then: statements.collect() }
    }

    /// Does what the commands do.
    async fn load(&self, old: &mut Sql, new: &mut Sql) {
        for table in &self.tables {
            let mut rows = Vec::new();
            let statement = self.copy_out.replace("$table", table);
            let mut out = old.0.copy_out_raw(&statement).await.unwrap();
            while let Some(bytes) = out.next().await {
                rows.extend_from_slice(&bytes.unwrap());
            }
            drop(out);
            let statement = self.copy_in.replace("$table", table);
            let mut copy = new.0.copy_in_raw(&statement).await.unwrap();
            copy.send(rows).await.unwrap();
            copy.finish().await.unwrap();
        }
        for statement in &self.then {
            sqlx::raw_sql(AssertSqlSafe(&**statement)).execute(&mut new.0).await.unwrap();
        }
    }
}

/// Records other steps than those of the baseline, and more of them.
async fn record_earlier_steps(sql: &mut Sql) {
    sqlx::raw_sql(
        "UPDATE _sqlx_migrations SET checksum = sha384(checksum);
         INSERT INTO _sqlx_migrations
         SELECT 21, 'producer rows', installed_on, success, checksum, execution_time
         FROM _sqlx_migrations
         WHERE version = 1",
    )
    .execute(&mut sql.0)
    .await
    .unwrap();
}

#[tokio::test]
async fn a_database_from_before_the_baseline_is_refused_and_its_data_can_be_loaded() {
    let old = OwnDatabase::start().await;
    let services = Services::start_on(&old.url).await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    let at = Granularity::Day.floor(now()) - 30 * 3_600_000_000;
    let first = || numbered("sensor", 1, 1, vec![point("old", at, 4.5)]);
    let answer = services.send(first()).await.unwrap();
    services.begin_shutdown();
    services.ended().await;
    let mut old_sql = old.sql().await;
    record_earlier_steps(&mut old_sql).await;

    let refused = db::migrate(&old.config()).await.unwrap_err().to_string();
    assert!(refused.starts_with(MESSAGE), "{refused}");
    assert!(refused.contains("migrations/README.md") && refused.contains(TITLE), "{refused}");
    let unready = db::check_schema(&mut old_sql.0).await.unwrap_err().to_string();
    assert_eq!(unready, refused, "the services give another reason");

    let new = OwnDatabase::start().await;
    let mut new_sql = new.sql().await;
    Commands::read().load(&mut old_sql, &mut new_sql).await;
    old_sql.close().await;
    new_sql.close().await;
    let services = Services::start_on(&new.url).await;
    wait_until_serving(&services.ingest_channel, "tidegauge.v1.IngestService").await;
    wait_until_serving(&services.query_channel, "tidegauge.v1.QueryService").await;
    let resent = services.send(first()).await.unwrap();
    let first_answer = v1::BatchResult { is_duplicate: true, ..answer };
    assert_eq!(resent, first_answer, "the ledger was not loaded");
    services.send(batch(vec![point("new", at, 1.0)])).await.unwrap();
    for (device, value) in [("old", 4.5), ("new", 1.0)] {
        let found = services.range(device, at, at + 1).await.unwrap();
        assert_eq!(found.values, [value], "{device}");
    }
    let (header, found) =
        services.aggregated("old", v1::Granularity::Day, (at, at + 1)).await.unwrap();
    assert!(header.watermark.is_some());
    assert_eq!(found.count, [1]);
    services.begin_shutdown();
    services.ended().await;
}

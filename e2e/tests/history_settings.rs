//! Accepted age, refresh windows and retention must fit together. Conflicts are refused or
//! reported.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::time::Duration;

use e2e::{OwnDatabase, Services, Sql, get, until, wait_until_serving};
use shared::db;
use shared::granularity::Granularity;

const DAY: Duration = Duration::from_secs(86_400);
const INGEST: &str = "tidegauge.v1.IngestService";

/// Runs a statement. Returns the database's message if it is refused.
async fn run(sql: &mut Sql, statement: String) -> Result<(), String> {
    match sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut sql.0).await {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) => Err(error.message().to_owned()),
        Err(error) => panic!("{error}"),
    }
}

async fn conflicts(sql: &mut Sql, accepted: Duration) -> Vec<String> {
    let conflicts = db::history(&mut sql.0).await.unwrap().conflicts(accepted);
    conflicts.into_iter().map(|conflict| conflict.sentence).collect()
}

async fn until_ready_says(services: &Services, wanted: &str) -> (u16, String) {
    let looking = async || {
        get(&services.ingest_http, "/readyz").await.ok().filter(|(_, body)| body.contains(wanted))
    };
    until(wanted, looking).await
}

async fn until_metrics_say(services: &Services, wanted: &str) {
    let looking = async || {
        get(&services.ingest_http, "/metrics").await.ok().filter(|(_, text)| text.contains(wanted))
    };
    until(wanted, looking).await;
}

#[tokio::test]
async fn a_service_that_accepts_older_points_than_refreshes_look_back_over_is_not_ready_until_they_do()
 {
    let database = OwnDatabase::start().await;
    let services = Services::start_ingest_with(&database.url, |config| {
        config.limits.oldest_accepted = 400 * DAY
    })
    .await;
    let (status, body) = until_ready_says(&services, "TIDEGAUGE_OLDEST_ACCEPTED").await;
    assert_eq!(
        (status, &*body),
        (
            503,
            "not ready: TIDEGAUGE_OLDEST_ACCEPTED is 400 days, but refreshes of points_1min look \
             back 31 days (points are kept forever): older points would never reach the rollups; \
             lower TIDEGAUGE_OLDEST_ACCEPTED to 30 days, or raise both: \
             SELECT set_accepted_age('400 days')\n"
        )
    );
    until_metrics_say(&services, "tidegauge_not_ready{reason=\"settings\"} 1").await;
    until_metrics_say(
        &services,
        "tidegauge_database_settings_unsafe{pair=\"accepted_age_minute_refresh\"} 1",
    )
    .await;

    run(&mut database.sql().await, "SELECT set_accepted_age('400 days')".to_owned()).await.unwrap();
    wait_until_serving(&services.ingest_channel, INGEST).await;
    assert_eq!(get(&services.ingest_http, "/readyz").await.unwrap(), (200, "ready\n".to_owned()));
}

#[tokio::test]
async fn a_policy_that_is_added_by_hand_is_told_by_a_service_that_goes_on() {
    let database = OwnDatabase::start().await;
    let services = Services::start_on(&database.url).await;
    wait_until_serving(&services.ingest_channel, INGEST).await;
    let mut sql = database.sql().await;
    run(&mut sql, "SELECT add_retention_policy('points', INTERVAL '7 days')".to_owned())
        .await
        .unwrap();
    let (status, body) = until_ready_says(&services, "unsafe settings").await;
    assert_eq!(status, 200, "the service should stay ready");
    let wanted = "ready\nunsafe settings: points is kept for 7 days, but refreshes of \
                  points_1min look back 31 days (TIDEGAUGE_OLDEST_ACCEPTED is 30 days)";
    assert!(body.starts_with(wanted), "{body}");
    let gauge = "tidegauge_database_settings_unsafe{pair=\"minute_refresh_points_retention\"}";
    until_metrics_say(&services, &format!("{gauge} 1")).await;
    until_metrics_say(&services, "tidegauge_ready 1").await;

    run(&mut sql, "SELECT set_retention('points', NULL)".to_owned()).await.unwrap();
    until_metrics_say(&services, &format!("{gauge} 0")).await;
    assert_eq!(get(&services.ingest_http, "/readyz").await.unwrap().1, "ready\n");
}

#[tokio::test]
async fn the_functions_refuse_exactly_what_the_services_call_unsafe() {
    let database = OwnDatabase::start().await;
    let mut sql = database.sql().await;
    for age in [1, 30, 400] {
        run(&mut sql, format!("SELECT set_accepted_age('{age} days')")).await.unwrap();
        let accepted = age * DAY;
        assert_eq!(conflicts(&mut sql, accepted).await, [""; 0]);
        assert_ne!(conflicts(&mut sql, accepted + Duration::from_micros(1)).await, [""; 0]);
        for (relation, look_back) in
            [("points", age + 1), ("points_1min", age + 2), ("points_1hour", age + 4)]
        {
            let short = format!("{} hours", (look_back + 1) * 24 - 1);
            let refused = run(&mut sql, format!("SELECT set_retention('{relation}', '{short}')"))
                .await
                .unwrap_err();
            assert!(
                refused.contains("cannot be kept for") && refused.contains("look back"),
                "{refused}"
            );
            assert_eq!(
                conflicts(&mut sql, accepted).await,
                [""; 0],
                "a refused change took effect"
            );
            run(&mut sql, format!("SELECT add_retention_policy('{relation}', INTERVAL '{short}')"))
                .await
                .unwrap();
            assert!(
                conflicts(&mut sql, accepted).await[0].contains(&format!("{relation} is kept for"))
            );

            let long = format!("{} days", look_back + 1);
            run(&mut sql, format!("SELECT set_retention('{relation}', '{long}')")).await.unwrap();
            assert_eq!(conflicts(&mut sql, accepted).await, [""; 0], "{relation} for {long}");
            let raised =
                run(&mut sql, format!("SELECT set_accepted_age('{} hours')", age * 24 + 1))
                    .await
                    .unwrap_err();
            assert!(raised.contains(&format!("but {relation} is kept for")), "{raised}");
            run(&mut sql, format!("SELECT set_retention('{relation}', NULL)")).await.unwrap();
        }
        run(&mut sql, "SELECT set_retention('points_1day', '1 day')".to_owned()).await.unwrap();
        assert_eq!(
            conflicts(&mut sql, accepted).await,
            [""; 0],
            "no rollup depends on points_1day"
        );
    }
}

#[tokio::test]
async fn what_is_no_age_and_no_relation_is_refused_with_what_is_accepted() {
    let database = OwnDatabase::start().await;
    let mut sql = database.sql().await;
    for (statement, sentence) in [
        ("set_accepted_age(NULL)", "age is null: it must be a positive interval, such as 30 days"),
        (
            "set_accepted_age('-1 day')",
            "age is -1 days: it must be a positive interval, such as 30 days",
        ),
        (
            "set_retention('series', '1 year')",
            "relation is series: it must be points, points_1min, points_1hour or points_1day",
        ),
    ] {
        assert_eq!(run(&mut sql, format!("SELECT {statement}")).await.unwrap_err(), sentence);
    }
}

#[tokio::test]
async fn the_settings_read_are_those_of_the_schema_and_of_a_login_with_few_rights() {
    let database = OwnDatabase::start().await;
    let mut sql = database.sql().await;
    run(&mut sql, "SET ROLE tidegauge_ingest".to_owned()).await.unwrap();
    let settings = db::history(&mut sql.0).await.unwrap();
    run(&mut sql, "RESET ROLE".to_owned()).await.unwrap();
    assert_eq!(settings, db::history(&mut sql.0).await.unwrap());
    let levels = Granularity::ROLLUPS.len();
    assert_eq!((settings.look_back.len(), settings.kept), (levels, [None; 4]));
    assert_eq!(
        conflicts(&mut sql, 30 * DAY).await,
        [""; 0],
        "a new database conflicts with the defaults"
    );
}

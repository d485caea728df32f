//! Queries over the wire: exact answers, and refusals that name the problem.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

use std::collections::BTreeSet;

use e2e::{Services, Sql, at, batch, named, now, selector, series, unique};
use shared::proto::v1::{
    Batch, Granularity, ListDevicesRequest, ListMetricsRequest, QueryRangeRequest, SeriesSelector,
    query_range_response, series_selector,
};
use tonic::Code;
use tonic_types::StatusExt as _;

#[tokio::test]
async fn a_long_answer_comes_whole_in_order_and_in_frames() {
    let services = Services::start().await;
    let device = unique("long");
    let start = now() - 3_600_000_000;
    // Five points share each timestamp. There are more points than fit into a page, sent in random
    // order.
    let times: Vec<i64> = (0..80_000).map(|at| start + (at * 7_919 % 16_000) * 1_000).collect();
    let values: Vec<f64> = (0..80_000).map(f64::from).collect();
    let columns = vec![series(&device, times.clone(), values)];
    assert_eq!(
        services
            .send(Batch { series: columns, ..Default::default() })
            .await
            .unwrap()
            .accepted_count,
        80_000
    );
    let answer = services.range(&device, start, start + 3_600_000_000).await.unwrap();
    assert!(answer.timestamps_us.is_sorted());
    let mut expected = times;
    expected.sort_unstable();
    assert_eq!(answer.timestamps_us, expected);
    let distinct: BTreeSet<u64> = answer.values.iter().map(|value| value.to_bits()).collect();
    assert_eq!(distinct.len(), 80_000, "some points are missing or doubled");
    let half = services.range(&device, start, start + 8_000_000).await.unwrap();
    assert_eq!(half.values.len(), 40_000, "the interval is not half-open");
    let (header, buckets) = services
        .aggregated(&device, Granularity::Raw, (start, start + 3_600_000_000))
        .await
        .unwrap();
    assert_eq!((header.granularity(), buckets.count.len()), (Granularity::Raw, 80_000));
    assert_eq!(header.watermark, None);
}

#[tokio::test]
async fn selectors_match_by_id_and_by_prefix() {
    let services = Services::start().await;
    let prefix = unique("fleet");
    let devices: Vec<String> =
        ["a", "b", "c"].iter().map(|name| format!("{prefix}-{name}")).collect();
    let points = devices.iter().map(|device| named(device, "temperature", now(), 1.0)).collect();
    services.send(batch(points)).await.unwrap();
    let device = Some(series_selector::Device::DeviceIdPrefix(prefix));
    let by_prefix = SeriesSelector { device, metric_name: "temperature".to_owned() };
    let request = QueryRangeRequest {
        selectors: vec![by_prefix, selector(&devices[1])],
        start: at(now() - 60_000_000),
        end: at(now() + 60_000_000),
        max_points: 0,
    };
    let mut frames = services.query.clone().query_range(request).await.unwrap().into_inner();
    let mut found = Vec::new();
    while let Some(response) = frames.message().await.unwrap() {
        match response.frame.unwrap() {
            query_range_response::Frame::Header(header) => assert_eq!(header.series_count, 4),
            query_range_response::Frame::Points(points) => {
                found.push(points.series.unwrap().device_id)
            }
            query_range_response::Frame::Footer(footer) => assert_eq!(footer.row_count, 4),
        }
    }
    assert_eq!(found, [&devices[..], &devices[1..2]].concat());
}

#[tokio::test]
async fn bad_questions_are_refused_with_the_field_and_the_limit() {
    let services = Services::start().await;
    let device = unique("asked");
    services.send(batch(vec![named(&device, "humidity", now(), 1.0)])).await.unwrap();

    let status = services.range(&device, 2_000_000, 1_000_000).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let violation = &status.get_details_bad_request().unwrap().field_violations[0];
    assert_eq!(violation.field, "end");
    assert!(violation.description.contains("is not after start"), "{}", violation.description);

    let status = services.range(&device, 1, 2).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "only the series is missing, not the device");
    assert!(status.message().contains(&format!("{device}/temperature")), "{}", status.message());

    let unknown = unique("unknown");
    let status = services.aggregated(&unknown, Granularity::Minute, (1, 2)).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains(&unknown), "{}", status.message());

    let request = ListDevicesRequest { page_size: -1, ..Default::default() };
    let status = services.query.clone().list_devices(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("page_size: is -1"), "{}", status.message());
}

#[tokio::test]
async fn pages_lead_through_everything_once() {
    let services = Services::start().await;
    let prefix = unique("page");
    let device = |at: usize| format!("{prefix}-{at:02}");
    let points = (0..25).flat_map(|at| (0..=at % 3).map(move |metric| (at, metric)));
    let points = points
        .map(|(at, metric)| named(&device(at), &format!("{prefix}-m{metric}"), now(), 1.0))
        .collect();
    services.send(batch(points)).await.unwrap();
    let mut found = Vec::new();
    let mut token = String::new();
    let mut pages = 0;
    loop {
        let request = ListDevicesRequest {
            page_size: 10,
            page_token: token.clone(),
            device_id_prefix: prefix.clone(),
        };
        let page = services.query.clone().list_devices(request).await.unwrap().into_inner();
        found
            .extend(page.devices.into_iter().map(|device| (device.device_id, device.metric_count)));
        pages += 1;
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
        let other = ListMetricsRequest { page_token: token.clone(), ..Default::default() };
        let status = services.query.clone().list_metrics(other).await.unwrap_err();
        assert!(status.message().contains("belongs to another query"), "{}", status.message());
    }
    assert_eq!(pages, 3);
    assert_eq!(
        found,
        (0..25_usize)
            .map(|at| (device(at), u32::try_from(at % 3 + 1).unwrap()))
            .collect::<Vec<_>>()
    );

    let metrics = |device_id: String, metric_name_prefix: String| {
        let request = ListMetricsRequest { device_id, metric_name_prefix, ..Default::default() };
        let mut query = services.query.clone();
        async move {
            let page = query.list_metrics(request).await.unwrap().into_inner();
            page.metrics.into_iter().map(|metric| metric.metric_name).collect::<Vec<_>>()
        }
    };
    let all = [format!("{prefix}-m0"), format!("{prefix}-m1"), format!("{prefix}-m2")];
    assert_eq!(metrics(String::new(), prefix.clone()).await, all);
    assert_eq!(metrics(device(1), String::new()).await, all[..2]);
}

#[tokio::test]
async fn the_roles_allow_what_the_services_need_and_nothing_else() {
    let mut sql = Sql::connect().await;
    let cases = [
        ("tidegauge_query", "SELECT count(*) FROM iot_data_1hour WHERE bucket > now()", true),
        ("tidegauge_query", "INSERT INTO series (device_id, metric_name) VALUES ('x', 'y')", false),
        ("tidegauge_query", "SELECT * FROM producers", false),
        ("tidegauge_ingest", "INSERT INTO points VALUES (now(), 0, 0)", true),
        ("tidegauge_ingest", "SELECT count(*) FROM points", false),
        ("tidegauge_ingest", "DELETE FROM producers", false),
    ];
    for (role, statement, allowed) in cases {
        let run = format!("BEGIN; SET LOCAL ROLE {role}; {statement};");
        let outcome = sqlx::raw_sql(sqlx::AssertSqlSafe(run)).execute(&mut sql.0).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut sql.0).await.unwrap();
        assert_eq!(outcome.is_ok(), allowed, "{role}: {statement}: {outcome:?}");
    }
}

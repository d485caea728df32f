//! No status made by a library reaches a client unchanged. Each kind is provoked at both services
//! over real HTTP/2. The list is in `docs/decisions/0001-statuses-of-libraries.md`.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

mod raw;

use std::io::Write as _;

use e2e::{Services, batch, now, point, unique};
use raw::{Answer, Raw, framed};
use shared::proto::v1::IngestBatchRequest;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_prost::prost::Message as _;

const INGEST_BATCH: &str = "/tidegauge.v1.IngestService/IngestBatch";
const INGEST: &str = "/tidegauge.v1.IngestService/Ingest";
const INGEST_WITH_ACKS: &str = "/tidegauge.v1.IngestService/IngestWithAcks";
const GET_LATEST: &str = "/tidegauge.v1.QueryService/GetLatest";
const QUERY_RANGE: &str = "/tidegauge.v1.QueryService/QueryRange";
const CHECK: &str = "/grpc.health.v1.Health/Check";
/// One method of each kind, from both services.
const METHODS: [&str; 5] = [INGEST_BATCH, INGEST, INGEST_WITH_ACKS, GET_LATEST, QUERY_RANGE];
/// Field 1 with a length of 200 bytes and no content.
const MALFORMED: [u8; 3] = [0x0a, 0xc8, 0x01];
const MAX_MESSAGE_BYTES: usize = 4 << 20;

fn url<'s>(services: &'s Services, path: &str) -> &'s str {
    if path.contains("QueryService") { &services.query_url } else { &services.ingest_url }
}

async fn send(services: &Services, raw: Raw) -> Answer {
    let url = url(services, &raw.path);
    raw.send(url).await
}

fn compressed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(message).unwrap();
    framed(flag, &encoder.finish().unwrap())
}

/// Name, headers, body, and the expected answer: code, field of `BadRequest` and part of the
/// message.
type Case =
    (&'static str, Vec<(&'static str, &'static str)>, Vec<u8>, Code, &'static str, &'static str);

fn cases() -> Vec<Case> {
    let gzip = || vec![("grpc-encoding", "gzip")];
    let invalid = Code::InvalidArgument;
    let exhausted = Code::ResourceExhausted;
    let over = "message exceeds the limit of 4194304 bytes (TIDEGAUGE_MAX_MESSAGE_BYTES); \
                split it into smaller messages";
    let cut_short = [&framed(0, &[0; 100])[..50], &[]].concat();
    let announced = [&[0][..], &u32::MAX.to_be_bytes()].concat();
    vec![
        (
            "malformed message",
            vec![],
            framed(0, &MALFORMED),
            invalid,
            "message",
            "is not a message of the contract",
        ),
        ("message cut short", vec![], cut_short, invalid, "message", "is incomplete"),
        (
            "unknown flag",
            vec![],
            framed(7, &[]),
            invalid,
            "message",
            "compression flag 7; expected 0 or 1",
        ),
        (
            "flag without encoding",
            vec![],
            framed(1, &[]),
            invalid,
            "message",
            "no header grpc-encoding that says how",
        ),
        (
            "not gzip",
            gzip(),
            framed(1, b"not gzip"),
            invalid,
            "message",
            "cannot be decompressed with the encoding in the grpc-encoding header",
        ),
        (
            "malformed in gzip",
            gzip(),
            compressed(1, &MALFORMED),
            invalid,
            "message",
            "is not a message of the contract",
        ),
        ("too large", vec![], framed(0, &vec![0; MAX_MESSAGE_BYTES + 1]), exhausted, "", over),
        ("announced too large", vec![], announced, exhausted, "", over),
        ("bomb", gzip(), compressed(1, &vec![0; MAX_MESSAGE_BYTES + 1]), exhausted, "", over),
        (
            "unknown encoding",
            vec![("grpc-encoding", "br")],
            framed(1, b"x"),
            Code::Unimplemented,
            "",
            "grpc-encoding is \"br\"; supported: ",
        ),
        (
            "malformed deadline",
            vec![("grpc-timeout", "82f")],
            framed(0, &[]),
            invalid,
            "grpc-timeout",
            "is \"82f\"; expected 1 to 8 digits followed by H, M, S, m, u or n",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_message_is_told_apart_from_a_defect_of_the_service() {
    let services = Services::start().await;
    for (what, headers, body, code, field, message) in cases() {
        for path in METHODS {
            let mut raw = Raw::call(path, body.clone());
            for (name, value) in &headers {
                raw = raw.with(name, *value);
            }
            let answer = send(&services, raw).await;
            assert_eq!((answer.http, answer.code()), (200, code), "{what} to {path}: {answer:?}");
            assert!(answer.message().contains(message), "{what} to {path}: {}", answer.message());
            assert_eq!(answer.field(), field, "{what} to {path}");
            if what == "unknown encoding" {
                assert_eq!(answer.headers["grpc-accept-encoding"], "gzip,zstd,identity", "{path}");
            }
            assert!(
                answer.headers.keys().all(|name| !name.as_str().starts_with("tidegauge")),
                "{answer:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_message_is_told_so() {
    let services = Services::start().await;
    for path in [INGEST_BATCH, GET_LATEST, QUERY_RANGE] {
        let answer = send(&services, Raw::call(path, Vec::new())).await;
        assert_eq!((answer.code(), &*answer.field()), (Code::InvalidArgument, "message"), "{path}");
        assert_eq!(answer.message(), "message: is missing: the call ended without a message");
    }
    for path in [INGEST, INGEST_WITH_ACKS] {
        let answer = send(&services, Raw::call(path, Vec::new())).await;
        assert_eq!(answer.code(), Code::Ok, "a stream without messages is valid: {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_unimplemented_and_named() {
    let services = Services::start().await;
    let paths = [
        "/tidegauge.v1.IngestService/Nothing",
        "/tidegauge.v1.QueryService/Nothing",
        "/no.Service/Method",
        "/",
        "/one",
    ];
    for path in paths {
        let answer = send(&services, Raw::call(path, framed(0, &[]))).await;
        assert_eq!((answer.http, answer.code()), (200, Code::Unimplemented), "{path}: {answer:?}");
        assert_eq!(answer.message(), format!("{path:?} is not a method of this service"));
    }
    let long = format!("/{}", "x".repeat(5_000));
    let answer = send(&services, Raw::call(&long, framed(0, &[]))).await;
    assert!(
        answer.code() == Code::Unimplemented && answer.message().len() < 300,
        "{}",
        answer.message().len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_grpc_is_told_so_in_http_and_in_grpc() {
    let services = Services::start().await;
    for path in METHODS {
        let json = Raw::call(path, b"{}".to_vec()).with("content-type", "application/json");
        let answer = send(&services, json).await;
        assert_eq!((answer.http, answer.code()), (415, Code::InvalidArgument), "{answer:?}");
        assert!(
            answer
                .message()
                .contains("content-type: is \"application/json\"; expected application/grpc"),
            "{answer:?}"
        );
        let get = Raw { method: "GET", ..Raw::call(path, Vec::new()) };
        let answer = send(&services, get).await;
        assert_eq!((answer.http, answer.code()), (405, Code::InvalidArgument), "{answer:?}");
        assert_eq!(answer.headers["allow"], "POST");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_over_the_limit_are_refused_with_the_limit() {
    let services = Services::start().await;
    for path in METHODS {
        let names = ["x-a", "x-b", "x-c", "x-d", "x-e", "x-f"];
        let filled = |count: usize| {
            names.iter().take(count).fold(Raw::call(path, framed(0, &[])), |raw, name| {
                raw.with(name, "a".repeat(3_500))
            })
        };
        let answer = send(&services, filled(5)).await;
        assert_eq!((answer.http, answer.code()), (200, Code::ResourceExhausted), "{answer:?}");
        assert!(answer.message().ends_with("bytes; the limit is 16384"), "{}", answer.message());
        let answer = send(&services, filled(4)).await;
        assert_ne!(
            answer.code(),
            Code::ResourceExhausted,
            "headers below the limit are refused: {answer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_deadline_passes_is_deadline_exceeded_every_time() {
    let services = Services::start().await;
    let mut calls = JoinSet::new();
    for path in METHODS.iter().chain(&[CHECK]).cycle().take(300) {
        let url = url(&services, path).to_owned();
        let raw = Raw::call(path, vec![0, 0, 0, 0, 9]).open();
        calls.spawn(async move {
            (raw.path.clone(), raw.with("grpc-timeout", "100m").send(&url).await)
        });
    }
    while let Some(call) = calls.join_next().await {
        let (path, answer) = call.unwrap();
        assert_eq!(
            (answer.http, answer.code()),
            (200, Code::DeadlineExceeded),
            "{path}: {answer:?}"
        );
        assert_eq!(
            answer.message(),
            "the deadline of the call has passed (grpc-timeout: 100ms)",
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_races_with_the_answer_ends_in_one_of_the_two() {
    let services = Services::start().await;
    let device = unique("deadline-race");
    let timeouts = ["0n", "1n", "1u", "500u", "1m", "2m", "3m", "4m", "5m", "8m", "20m"];
    let mut counts = [0_usize; 17];
    for timeout in timeouts.iter().cycle().take(550) {
        let request = IngestBatchRequest { batch: Some(batch(vec![point(&device, now(), 1.0)])) };
        let body = framed(0, &request.encode_to_vec());
        let answer =
            send(&services, Raw::call(INGEST_BATCH, body).with("grpc-timeout", *timeout)).await;
        counts[answer.code() as usize] += 1;
    }
    let ok = counts[Code::Ok as usize];
    let passed = counts[Code::DeadlineExceeded as usize];
    assert_eq!(ok + passed, 550, "{counts:?}");
    assert!(ok > 0 && passed > 0, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_answers_as_its_protocol_says() {
    let services = Services::start().await;
    let unknown = framed(0, &[&[0x0a, 7][..], b"unknown"].concat());
    let answer = send(&services, Raw::call(CHECK, unknown)).await;
    assert_eq!((answer.code(), answer.message()), (Code::NotFound, "service not registered"));
    let answer = send(&services, Raw::call(CHECK, framed(0, &MALFORMED))).await;
    assert_eq!((answer.code(), &*answer.field()), (Code::InvalidArgument, "message"));
}

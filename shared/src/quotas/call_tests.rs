//! Tests of quotas on a paused clock.

use std::num::NonZeroUsize;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Code;
use tonic::body::Body;
use tonic_types::StatusExt as _;

use super::super::body::Metered;
use super::*;
use crate::auth::ClientLimits;
use crate::config::{QuotaConfig, defaults};
use crate::telemetry::Meters;

const UNARY: &str = "/tidegauge.v1.IngestService/IngestBatch";
const STREAM: &str = "/tidegauge.v1.IngestService/IngestWithAcks";

fn quotas(arguments: &[&str]) -> Quotas {
    Quotas::new(&defaults::<QuotaConfig>(arguments).unwrap(), &Meters::new("test").unwrap().meter())
}

fn open(quotas: &Quotas, path: &str) -> Result<CallQuota, OverLimit> {
    quotas.open(path, "clientip:192.0.2.1", ClientLimits::default())
}

fn frame(length: usize) -> Bytes {
    [&[0][..], &u32::try_from(length).unwrap().to_be_bytes(), &vec![7; length]].concat().into()
}

/// Returns a body and the sender of its chunks.
fn body(call: CallQuota) -> (tokio::sync::mpsc::UnboundedSender<Bytes>, Metered) {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let frames =
        UnboundedReceiverStream::new(receiver).map(|bytes| Ok::<_, Status>(Frame::data(bytes)));
    (sender, Metered::new(Body::new(http_body_util::StreamBody::new(frames)), call))
}

async fn next(body: &mut Metered) -> Result<Bytes, Status> {
    Ok(body.frame().await.unwrap()?.into_data().unwrap())
}

/// Returns whether the body has no frame ready. The clock is paused, so the timeout only elapses
/// when nothing else can happen.
async fn waits(body: &mut Metered) -> bool {
    tokio::time::timeout(Duration::from_millis(10), next(body)).await.is_err()
}

#[tokio::test]
async fn a_call_too_many_is_refused_with_the_limit_and_when_to_come_again() {
    let quotas = quotas(&["--client-max-calls=2"]);
    let _first = open(&quotas, STREAM).unwrap();
    let second = open(&quotas, UNARY).unwrap();
    let over = open(&quotas, UNARY).unwrap_err();
    let status = over.into_status("");
    assert_eq!(status.code(), Code::ResourceExhausted);
    let details = status.get_error_details();
    let violation = &details.quota_failure().unwrap().violations[0];
    assert_eq!(violation.subject, "clientip:192.0.2.1");
    assert!(violation.description.contains("limit of 2 open calls reached"), "{violation:?}");
    assert!(details.retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
    assert!(
        quotas.open(UNARY, "clientip:192.0.2.2", ClientLimits::default()).is_ok(),
        "the call of another client"
    );
    drop(second);
    assert!(open(&quotas, UNARY).is_ok());
}

#[tokio::test(start_paused = true)]
async fn new_series_beyond_a_minute_s_worth_are_refused_to_a_unary_call_and_waited_for_by_a_stream()
{
    let quotas = quotas(&[]);
    let limit = NonZeroUsize::new(60).unwrap();
    let unary = open(&quotas, UNARY).unwrap();
    let stream = open(&quotas, STREAM).unwrap();
    assert_eq!(unary.take_new_series(100, limit), 60);
    assert_eq!(stream.take_new_series(40, limit), 0, "both calls belong to one client");
    let over = unary.wait_for_new_series(40, limit).await.unwrap_err();
    assert_eq!(over.limit, Limit::NewSeries);
    let message = "clientip:192.0.2.1: limit of 60 new series per minute reached \
                (TIDEGAUGE_NEW_SERIES_PER_MINUTE): 40 series of the batch do not exist yet; \
                retry in 40 s. All devices behind this address count as one client, unless they \
                use identities";
    assert!(over.sentence.starts_with(message), "{over}");
    assert_eq!(over.retry_after.as_secs(), 40);
    let began = Instant::now();
    stream.wait_for_new_series(40, limit).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 40);
    assert_eq!(stream.take_new_series(40, limit), 40);
    let own =
        ClientLimits { new_series_per_minute: NonZeroUsize::new(5), ..ClientLimits::default() };
    let other = quotas.open(UNARY, "identity:other", own).unwrap();
    assert_eq!(other.take_new_series(100, limit), 5, "an identity has a limit of its own");
}

#[tokio::test(start_paused = true)]
async fn unary_calls_beyond_the_rate_are_refused_until_the_time_that_they_are_told() {
    let quotas = quotas(&["--client-messages-per-second=5"]);
    for _ in 0..5 {
        open(&quotas, UNARY).unwrap();
    }
    let over = open(&quotas, UNARY).unwrap_err();
    assert_eq!(over.limit, Limit::Messages);
    tokio::time::sleep(over.retry_after).await;
    open(&quotas, UNARY).unwrap();
    let own =
        ClientLimits { messages_per_second: NonZeroUsize::new(1_000), ..ClientLimits::default() };
    for _ in 0..1_000 {
        quotas.open(UNARY, "identity:large", own).unwrap();
    }
    assert!(quotas.open(UNARY, "identity:large", own).is_err());
    for _ in 0..100 {
        quotas
            .open("/grpc.health.v1.Health/Check", "probe:192.0.2.1", ClientLimits::default())
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_messages_of_a_stream_are_held_back_but_never_the_end_of_one() {
    let quotas = quotas(&["--client-messages-per-second=10"]);
    let (sender, mut body) = body(open(&quotas, STREAM).unwrap());
    let messages = [10, 20].map(frame).concat().repeat(10);
    sender.send(messages.clone().into()).unwrap();
    let began = Instant::now();
    let mut read = 0;
    let first = next(&mut body).await.unwrap();
    assert_eq!(first.len(), 5 * (15 + 25) + 5, "ten messages, and the header of the next");
    read += first.len();
    while read < messages.len() {
        read += next(&mut body).await.unwrap().len();
    }
    let took = began.elapsed();
    assert!(took > Duration::from_millis(950) && took < Duration::from_millis(1_050), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_whole_keeps_no_other_one_out() {
    let quotas = quotas(&["--client-max-bytes-in-flight=1000"]);
    let (sender, mut half) = body(open(&quotas, STREAM).unwrap());
    sender.send(frame(700).slice(..400)).unwrap();
    assert_eq!(next(&mut half).await.unwrap().len(), 400);
    let call = open(&quotas, STREAM).unwrap();
    let (other, mut whole) = body(call.clone());
    other.send(frame(700)).unwrap();
    assert_eq!(next(&mut whole).await.unwrap().len(), 705);
    sender.send(frame(700).slice(400..)).unwrap();
    assert!(waits(&mut half).await, "the complete message waits for free bytes");
    drop(call.message());
    assert_eq!(next(&mut half).await.unwrap().len(), 305);
}

#[tokio::test(start_paused = true)]
async fn bytes_in_flight_hold_streams_back_and_refuse_unary_calls_until_they_are_given_back() {
    let quotas = quotas(&["--client-max-bytes-in-flight=1000"]);
    let call = open(&quotas, STREAM).unwrap();
    let (sender, mut one) = body(call.clone());
    let piece: Bytes = [frame(700), frame(700)].concat().into();
    sender.send(piece).unwrap();
    assert_eq!(next(&mut one).await.unwrap().len(), 705 + 5);
    assert!(waits(&mut one).await);
    let (sender, mut two) = body(open(&quotas, UNARY).unwrap());
    sender.send(frame(301)).unwrap();
    let status = next(&mut two).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("1000 bytes in flight"), "{status}");
    drop(call.message());
    assert_eq!(next(&mut one).await.unwrap().len(), 700);
}

#[tokio::test(start_paused = true)]
async fn a_message_larger_than_all_that_may_be_in_flight_goes_alone() {
    let quotas = quotas(&["--client-max-bytes-in-flight=100", "--max-bytes-in-flight=50"]);
    let call = open(&quotas, STREAM).unwrap();
    let (sender, mut body) = body(call.clone());
    sender.send(frame(200)).unwrap();
    assert_eq!(next(&mut body).await.unwrap().len(), 205);
    sender.send(frame(1)).unwrap();
    assert_eq!(next(&mut body).await.unwrap().len(), 5);
    assert!(waits(&mut body).await);
    drop(call.message());
    assert_eq!(next(&mut body).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_falls_silent_is_told_but_not_one_that_is_held_back() {
    let quotas = quotas(&["--message-timeout=60s", "--client-max-bytes-in-flight=1000"]);
    let call = open(&quotas, STREAM).unwrap();
    let (sender, mut body) = body(call.clone());
    sender.send([frame(700), frame(700)].concat().into()).unwrap();
    next(&mut body).await.unwrap();
    let held_back = tokio::time::timeout(Duration::from_secs(600), next(&mut body));
    assert!(held_back.await.is_err(), "no timeout while the stream waits for the service");
    drop(call.message());
    next(&mut body).await.unwrap();
    drop(call.message());
    let began = Instant::now();
    let dribble = async {
        for byte in frame(700).chunks(1) {
            sender.send(Bytes::copy_from_slice(byte)).unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let read = async {
        loop {
            if let Err(status) = next(&mut body).await {
                return status;
            }
        }
    };
    let status = tokio::select! {
        () = dribble => panic!("the call did not time out"),
        status = read => status,
    };
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("within 1m (TIDEGAUGE_MESSAGE_TIMEOUT)"), "{status}");
    assert_eq!(began.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn points_hold_streams_back_and_refuse_unary_calls() {
    let quotas = quotas(&["--client-points-per-second=1000"]);
    let unary = open(&quotas, UNARY).unwrap();
    let stream = open(&quotas, STREAM).unwrap();
    stream.points(3_000).await.unwrap();
    let over = unary.points(1).await.unwrap_err();
    assert!(over.sentence.contains("1000 points or rows per second"), "{over}");
    assert!(open(&quotas, UNARY).is_err(), "refused before its body is read");
    let began = Instant::now();
    stream.points(1).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 2, "3 s worth were taken, of which 1 s was available");
    stream.rows(5_000);
    let over = open(&quotas, "/tidegauge.v1.QueryService/QueryRange").unwrap_err();
    assert!(over.retry_after > Duration::from_millis(4_900), "{over:?}");
}

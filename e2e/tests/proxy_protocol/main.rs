//! The PROXY protocol. A trusted proxy names the address of each caller. Other addresses may not.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a failing test may panic

mod haproxy;
mod service;

use std::time::Duration;

use haproxy::HaProxy;
use service::{MOST, PROXY, Service, call, connect, subject, taken_for, too_many_series};
use shared::proto::v1::ingest_service_client::IngestServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Status};

const PATIENCE: Duration = Duration::from_secs(60);
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Returns a header of version 2 for a TCP connection from an address.
fn header(from: [u8; 4]) -> Vec<u8> {
    let ports = [0x30, 0x39, 0xc3, 0x83];
    [&SIGNATURE[..], &[0x21, 0x11, 0, 12], &from, &[10, 0, 0, 1], &ports].concat()
}

async fn from_proxy(service: &Service, first: &[u8]) -> TcpStream {
    let mut stream = connect(PROXY, service.address).await;
    stream.write_all(first).await.unwrap();
    stream
}

/// Waits until the peer closes the connection without having sent anything.
async fn is_closed(mut stream: TcpStream) {
    let mut said = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said))
        .await
        .expect("the connection was not closed in time");
    assert!(read.is_err() || said.is_empty(), "{said:?}"); // an error means a reset
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_is_taken_for_whom_a_trusted_proxy_says_it_is() {
    let service = Service::start(None).await;
    let caller = from_proxy(&service, &header([192, 0, 2, 7])).await;
    assert_eq!(taken_for(caller).await.unwrap(), "clientip:192.0.2.7");
    let caller = from_proxy(&service, b"PROXY TCP6 2001:db8:1:2::7 ::1 12345 50051\r\n").await;
    assert_eq!(taken_for(caller).await.unwrap(), "clientip:2001:db8:1:2::");
    let local = from_proxy(&service, &[&SIGNATURE[..], &[0x20, 0, 0, 0]].concat()).await;
    assert_eq!(
        taken_for(local).await.unwrap(),
        format!("clientip:{PROXY}"),
        "a LOCAL header keeps the proxy's own address"
    );
    let direct = connect("127.0.0.8", service.address).await;
    assert_eq!(
        taken_for(direct).await.unwrap(),
        "clientip:127.0.0.8",
        "a direct caller keeps its own address"
    );
    assert_eq!(service.refused().await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_connections_is_that_of_the_address_which_the_proxy_names() {
    let service = Service::start(None).await;
    let mut held = Vec::new();
    for _ in 0..MOST {
        held.push(call(from_proxy(&service, &header([192, 0, 2, 7])).await).await.unwrap());
    }
    let error = taken_for(from_proxy(&service, &header([192, 0, 2, 7])).await).await.unwrap_err();
    let told = error.to_string();
    assert!(error.is_go_away() && told.contains("2 connections from 192.0.2.7 reached"), "{told}");
    let other = from_proxy(&service, &header([192, 0, 2, 8])).await;
    assert_eq!(
        taken_for(other).await.unwrap(),
        "clientip:192.0.2.8",
        "the limit must not apply to another address behind the proxy"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_say_whose_a_connection_is_has_it_closed() {
    let service = Service::start(None).await;
    let oversized = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff], &[0; 4_000]].concat();
    let unspecified = [&SIGNATURE[..], &[0x21, 0, 0, 0]].concat();
    let datagram = [&SIGNATURE[..], &[0x21, 0x12, 0, 12], &[0; 12]].concat();
    let malformed = [&SIGNATURE[..], &[0x21, 0x11, 0, 4], &[0; 4]].concat();
    let opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let firsts = [&opening[..], &oversized, &unspecified, &datagram, &malformed];
    for first in firsts {
        is_closed(from_proxy(&service, first).await).await;
    }
    let mut cut_short = from_proxy(&service, &header([192, 0, 2, 7])[..20]).await;
    cut_short.shutdown().await.unwrap();
    is_closed(cut_short).await;
    assert_eq!(service.refused().await, 6.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_header_is_given_up_and_holds_up_nobody() {
    let service = Service::start(None).await;
    let mut slow = Vec::new();
    for _ in 0..20 {
        slow.push(from_proxy(&service, &header([192, 0, 2, 7])[..20]).await);
    }
    let quick = from_proxy(&service, &header([192, 0, 2, 8])).await;
    assert_eq!(taken_for(quick).await.unwrap(), "clientip:192.0.2.8");
    for stream in slow {
        is_closed(stream).await;
    }
    assert_eq!(service.refused().await, 20.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_may_say_who_it_is() {
    let service = Service::start(None).await;
    let mut pretender = connect("127.0.0.8", service.address).await;
    pretender.write_all(&header([192, 0, 2, 7])).await.unwrap();
    assert!(
        taken_for(pretender).await.is_err(),
        "a PROXY header was accepted from an untrusted address"
    );
    assert_eq!(service.refused().await, 0.0, "an untrusted PROXY header was parsed");
}

/// Connects through HAProxy from a given local address.
async fn through(
    proxy: &HaProxy,
    from: &str,
    tls: Option<&str>,
) -> Result<Channel, tonic::transport::Error> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{}", proxy.address)).unwrap();
    endpoint = endpoint.local_address(Some(from.parse().unwrap()));
    if let Some(certificate) = tls {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(certificate))
            .domain_name("localhost");
        endpoint = endpoint.tls_config(tls).unwrap();
    }
    endpoint.connect().await
}

async fn refused(channel: &Channel) -> Status {
    IngestServiceClient::new(channel.clone()).ingest_batch(too_many_series()).await.unwrap_err()
}

async fn each_caller_behind_haproxy_is_a_client_of_its_own(service: &Service, tls: Option<&str>) {
    let proxy = HaProxy::start(service.address).await;
    let mut held = Vec::new();
    for from in ["127.0.0.5", "127.0.0.6", "127.0.0.7"] {
        for _ in 0..MOST {
            let channel = through(&proxy, from, tls).await.unwrap();
            let status = refused(&channel).await;
            assert_eq!(
                (status.code(), subject(&status)),
                (Code::ResourceExhausted, format!("clientip:{from}"))
            );
            held.push(channel);
        }
    }
    match through(&proxy, "127.0.0.5", tls).await {
        Ok(channel) => {
            let status = refused(&channel).await;
            assert!(
                status.code() != Code::ResourceExhausted || status.details().is_empty(),
                "served beyond the limit: {status:?}"
            );
            let told = format!("{status:?}");
            assert!(
                tls.is_some()
                    || told.contains("All devices behind one address count as one client"),
                "{told}"
            );
        }
        Err(error) => assert!(tls.is_some(), "without TLS the refusal must give a reason: {error}"),
    }
    assert_eq!(service.refused().await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_haproxy_each_caller_has_limits_of_its_own() {
    each_caller_behind_haproxy_is_a_client_of_its_own(&Service::start(None).await, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_haproxy_that_passes_tls_through_each_caller_has_limits_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("tls.crt");
    let key = folder.path().join("tls.key");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let service = Service::start(Some((&certificate, &key))).await;
    each_caller_behind_haproxy_is_a_client_of_its_own(&service, Some(&made.cert.pem())).await;
}

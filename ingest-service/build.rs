//! Generates the server side of `tidegauge.v1.IngestService` with the codec of `src/wire.rs`, which
//! does not decode messages into objects.
//!
//! Names and shapes follow `proto/tidegauge/v1/ingest.proto`. The tests compare them with clients
//! generated from that file.

use tonic_build::manual::{Builder, Method, MethodBuilder, Service};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let service = Service::builder()
        .name("IngestService")
        .package("tidegauge.v1")
        .comment("The server side, on undecoded messages.")
        .method(method("ingest", "Ingest").client_streaming().build())
        .method(
            method("ingest_with_acks", "IngestWithAcks")
                .client_streaming()
                .server_streaming()
                .build(),
        )
        .method(method("ingest_batch", "IngestBatch").build())
        .method(
            Method::builder()
                .name("get_producer")
                .route_name("GetProducer")
                .comment("GetProducer")
                .input_type("shared::proto::v1::GetProducerRequest")
                .output_type("shared::proto::v1::GetProducerResponse")
                .codec_path("tonic_prost::ProstCodec")
                .build(),
        )
        .build();
    Builder::new().build_client(false).compile(&[service]);
}

fn method(name: &str, route: &str) -> MethodBuilder {
    Method::builder()
        .name(name)
        .route_name(route)
        .comment(route)
        .input_type("crate::wire::RawMessage")
        .output_type(format!("shared::proto::v1::{route}Response"))
        .codec_path("crate::wire::WireCodec")
}

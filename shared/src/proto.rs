//! The contract of `proto/tidegauge/v1`, generated at build time.

/// Version 1 of the contract.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)] // generated; documented in the .proto files
pub mod v1 {
    tonic::include_proto!("tidegauge.v1");
}

/// The contract's descriptors, as an encoded `google.protobuf.FileDescriptorSet`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

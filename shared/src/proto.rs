//! The contract, generated from `proto/tidegauge/v1` at build time.

/// Version 1 of the contract.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)] // generated code
pub mod v1 {
    tonic::include_proto!("tidegauge.v1");
}

/// Encoded `google.protobuf.FileDescriptorSet` of the contract, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

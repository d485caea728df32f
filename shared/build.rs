//! Compiles the contract under `proto/` with protox, so that no system `protoc` is needed.

use std::path::PathBuf;

use prost::Message as _;

const FILES: [&str; 3] =
    ["tidegauge/v1/point.proto", "tidegauge/v1/ingest.proto", "tidegauge/v1/query.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=../proto");
    println!("cargo::rerun-if-changed=../migrations");
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    let descriptors = protox::compile(FILES, ["../proto"])?;
    std::fs::write(out_dir.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}

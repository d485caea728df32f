//! Server side of the contract's `IngestService`. `build.rs` generates it over undecoded messages.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)] // generated

include!(concat!(env!("OUT_DIR"), "/tidegauge.v1.IngestService.rs"));

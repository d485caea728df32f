//! Bytes as a message of points: decoded, validated, sorted, encoded.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::plant(&ingest_service::fuzzing::seeds()), |bytes: &[u8]| {
    ingest_service::fuzzing::check(bytes);
});

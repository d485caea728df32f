//! Bytes as a question: decoded, checked, planned.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::plant(&query_service::fuzzing::seeds()), |bytes: &[u8]| {
    query_service::fuzzing::check(bytes);
});

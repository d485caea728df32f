//! Fuzz target that decodes, validates, sorts and encodes the input as a message of points.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::plant(&ingest_service::fuzzing::seeds()), |bytes: &[u8]| {
    ingest_service::fuzzing::check(bytes);
});

libfuzzer_sys::fuzz_mutator!(|input: &mut [u8], size: usize, most: usize, seed: u32| {
    fuzz::mutate(input, size, most, (0, seed), libfuzzer_sys::fuzzer_mutate)
});

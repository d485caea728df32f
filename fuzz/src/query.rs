//! Fuzz target that decodes, validates and plans the input as a query.

#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::plant(&query_service::fuzzing::seeds()), |bytes: &[u8]| {
    query_service::fuzzing::check(bytes);
});

libfuzzer_sys::fuzz_mutator!(|input: &mut [u8], size: usize, most: usize, seed: u32| {
    fuzz::mutate(
        input,
        size,
        most,
        (query_service::fuzzing::PREFIX, seed),
        libfuzzer_sys::fuzzer_mutate,
    )
});

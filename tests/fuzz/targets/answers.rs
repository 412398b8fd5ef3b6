//! Row `answers` of tests/src/parsers.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _seen = (weighbridge_tests::parsers::parser("answers").attempt)(bytes);
});

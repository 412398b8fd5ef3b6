//! Row `proof-file` of tests/src/parsers.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _seen = (weighbridge_tests::parsers::parser("proof-file").attempt)(bytes);
});

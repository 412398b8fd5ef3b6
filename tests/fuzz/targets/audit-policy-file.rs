//! Row `audit-policy-file` of tests/src/parsers.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _seen = (weighbridge_tests::parsers::parser("audit-policy-file").attempt)(bytes);
});

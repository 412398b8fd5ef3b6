//! Row `verify-bundle` of tests/src/parsers.rs. A changed byte would break the container's digests and reach nothing: the
//! mutator changes one member and seals the bundle again.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use weighbridge_tests::parsers::{change_one_member, parser};

/// Room for a member to grow into.
const ROOM: usize = 512;

fuzz_target!(|bytes: &[u8]| {
    let _seen = (parser("verify-bundle").attempt)(bytes);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let changed = change_one_member(&data[..size], seed as usize, |member| {
        let length = member.len();
        member.resize(length + ROOM, 0);
        let grown = fuzzer_mutate(member, length, length + ROOM);
        member.truncate(grown);
    });
    match changed.filter(|changed| changed.len() <= max_size) {
        Some(changed) => {
            data[..changed.len()].copy_from_slice(&changed);
            changed.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});

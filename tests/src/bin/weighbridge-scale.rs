//! Writes docs/scale.md: what proving a cluster takes, from real proofs of a sample.

use std::process::ExitCode;

fn main() -> ExitCode {
    weighbridge_tests::scale::main()
}

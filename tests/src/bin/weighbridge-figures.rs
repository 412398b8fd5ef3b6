//! Writes the README's table of figures from what `cargo bench` measured; `--check` compares instead.

use std::process::ExitCode;

fn main() -> ExitCode {
    weighbridge_tests::figures::main()
}

//! Writes docs/audit-rates.md: how often the tile check refuses honest work and passes forged work.

use std::process::ExitCode;

fn main() -> ExitCode {
    weighbridge_tests::rates::main()
}

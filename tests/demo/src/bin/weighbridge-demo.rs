//! `weighbridge-demo`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    weighbridge_tests_demo::main()
}

//! **Duty.** The program `weighbridge-fetch`; everything is in the library.

fn main() -> std::process::ExitCode {
    weighbridge_fetch::main()
}

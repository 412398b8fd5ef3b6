//! **Duty.** The program `weighbridge`; everything is in the library.

fn main() -> std::process::ExitCode {
    weighbridge_verifier::main()
}

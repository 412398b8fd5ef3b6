//! `weighbridged`.

fn main() -> std::process::ExitCode {
    weighbridge_daemon::cli::main()
}

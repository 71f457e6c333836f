//! Parses the command line and calls the command.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else, while there is only one thread.
    onnxd::runtime::library::disable_telemetry();
    onnxd::cli::main()
}

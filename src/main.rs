//! Parses the command line and calls the command.

fn main() -> ! {
    // Before anything else, while there is only one thread.
    onnxd::runtime::library::disable_telemetry();
    onnxd::cli::main()
}

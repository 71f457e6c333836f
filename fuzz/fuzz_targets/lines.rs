//! `/predict` with lines of JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onnxd_fuzz::{Port, choose};

const PATHS: [&str; 4] = ["/predict", "/predict/iris", "/predict/named", "/predict/text"];

fuzz_target!(|data: &[u8]| {
    let Some((path, body)) = choose(&PATHS, data) else { return };
    Port::get().ask(path, &[("content-type", "application/x-ndjson")], body);
});

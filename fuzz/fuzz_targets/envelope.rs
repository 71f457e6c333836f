//! `/predict` with JSON, of models of each kind and of none that is named.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onnxd_fuzz::{Port, choose};

const PATHS: [&str; 5] =
    ["/predict", "/predict/iris", "/predict/named", "/predict/text", "/predict/image"];

fuzz_target!(|data: &[u8]| {
    let Some((path, body)) = choose(&PATHS, data) else { return };
    Port::get().ask(path, &[("content-type", "application/json")], body);
});

//! `/predict` with forms, whose boundary is `b`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onnxd_fuzz::{Port, choose};

const PATHS: [&str; 4] = ["/predict", "/predict/iris", "/predict/text", "/predict/image"];

fuzz_target!(|data: &[u8]| {
    let Some((path, body)) = choose(&PATHS, data) else { return };
    Port::get().ask(path, &[("content-type", "multipart/form-data; boundary=b")], body);
});

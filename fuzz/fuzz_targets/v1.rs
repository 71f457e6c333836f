//! V1: `instances` and `inputs`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onnxd_fuzz::{Port, choose};

const PATHS: [&str; 4] = [
    "/v1/models/iris:predict",
    "/v1/models/named:predict",
    "/v1/models/text:predict",
    "/v1/models/image:predict",
];

fuzz_target!(|data: &[u8]| {
    let Some((path, body)) = choose(&PATHS, data) else { return };
    Port::get().ask(path, &[("content-type", "application/json")], body);
});

//! Hugging Face's form, in JSON and as a file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onnxd_fuzz::{Port, choose};

const ASKED: [(&str, &str); 5] = [
    ("/", "application/json"),
    ("/models/iris", "application/json"),
    ("/models/text", "application/json"),
    ("/models/image", "application/json"),
    ("/models/image", "application/octet-stream"),
];

fuzz_target!(|data: &[u8]| {
    let Some(((path, kind), body)) = choose(&ASKED, data) else { return };
    Port::get().ask(path, &[("content-type", kind)], body);
});

//! The Open Inference Protocol over HTTP: JSON, and behind it the binary tensors. The second byte says how many
//! bytes of the body are binary; 0: there is no header that says so.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onnxd_fuzz::{Port, choose};

const PATHS: [&str; 4] = [
    "/v2/models/iris/infer",
    "/v2/models/named/infer",
    "/v2/models/text/infer",
    "/v2/models/image/infer",
];

fuzz_target!(|data: &[u8]| {
    let Some((path, rest)) = choose(&PATHS, data) else { return };
    let Some((binary, body)) = rest.split_first() else { return };
    let json = body.len().saturating_sub(usize::from(*binary)).to_string();
    let header = ("inference-header-content-length", json.as_str());
    let headers = [("content-type", "application/octet-stream"), header];
    let headers = if *binary == 0 { &headers[..0] } else { &headers[..] };
    Port::get().ask(path, headers, body);
});

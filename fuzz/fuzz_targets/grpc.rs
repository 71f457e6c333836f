//! gRPC: one message, framed by us so that its bytes are read at all, or the frames themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onnxd_fuzz::{Port, choose};

const METHODS: [(&str, bool); 5] = [
    ("ModelInfer", true),
    ("ModelStreamInfer", true),
    ("ModelMetadata", true),
    ("ModelInfer", false),
    ("ModelStreamInfer", false),
];

fuzz_target!(|data: &[u8]| {
    let Some(((method, framed), message)) = choose(&METHODS, data) else { return };
    let mut body = Vec::with_capacity(message.len() + 5);
    if framed {
        body.push(0);
        body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    }
    body.extend_from_slice(message);
    let path = format!("/inference.GRPCInferenceService/{method}");
    Port::get().ask(&path, &[("content-type", "application/grpc"), ("te", "trailers")], &body);
});

//! gRPC: one message, framed by us so that its bytes are read at all, or the frames themselves.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onnxd_fuzz::{Port, choose};

const METHODS: [(&str, bool); 11] = [
    ("/inference.GRPCInferenceService/ModelInfer", true),
    ("/inference.GRPCInferenceService/ModelStreamInfer", true),
    ("/inference.GRPCInferenceService/ModelMetadata", true),
    ("/inference.GRPCInferenceService/ModelInfer", false),
    ("/inference.GRPCInferenceService/ModelStreamInfer", false),
    ("/inference.GRPCInferenceService/ModelReady", true),
    ("/inference.GRPCInferenceService/ModelConfig", true),
    ("/inference.GRPCInferenceService/ModelStatistics", true),
    ("/inference.GRPCInferenceService/RepositoryIndex", true),
    ("/grpc.health.v1.Health/Check", true),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", true),
];

fuzz_target!(|data: &[u8]| {
    let Some(((method, framed), message)) = choose(&METHODS, data) else { return };
    let mut body = Vec::with_capacity(message.len() + 5);
    if framed {
        body.push(0);
        body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    }
    body.extend_from_slice(message);
    Port::get().ask(method, &[("content-type", "application/grpc"), ("te", "trailers")], &body);
});

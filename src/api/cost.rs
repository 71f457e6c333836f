//! What reads a client's bytes, and what that may cost: the one list of it. A route that is not in it, and
//! an entry without its worst inputs, fail the tests.
//!
//! In all of them work is linear in the bytes that came, and is done on a compute thread beyond 16 KiB,
//! where it ends when nobody waits for it (a [`Meter`](crate::meter::Meter) looks every 1024 items); memory
//! is paid to the meter before it is taken. What is only skipped, such as an input until its model is known,
//! is skipped at about a gigabyte a second, without a look. JSON is nested 128 deep at most where anything
//! is made of it.

/// Something that reads a client's bytes.
pub struct Entry {
    pub name: &'static str,
    /// Where it is asked: a method and a path as in the description of the API, or a method of gRPC.
    pub routes: &'static [&'static str],
    pub reads: &'static str,
    /// What it costs at most, beside half a MiB.
    pub bound: &'static str,
}

const PREDICT: &[&str] =
    &["POST /predict", "POST /predict/{model}", "POST /predict/{model}/versions/{version}"];
const V2: &[&str] =
    &["POST /v2/models/{model}/infer", "POST /v2/models/{model}/versions/{version}/infer"];

/// All of them.
pub const ENTRIES: &[Entry] = &[
    Entry {
        name: "head",
        routes: &["*"],
        reads: "path, query and headers of any request",
        bound: "max_header_size, of which the query has 16 KiB; read where it is",
    },
    Entry {
        name: "predict-json",
        routes: PREDICT,
        reads: "an envelope, whose input is read by the kind of its model",
        bound: "4 bytes of memory a byte; items to the limit of their kind; the model's columns alone",
    },
    Entry {
        name: "predict-form",
        routes: PREDICT,
        reads: "parts by their boundary; features as JSON",
        bound: "one copy of texts, none of files; 16 KiB of headers a part; features as predict-json",
    },
    Entry { name: "predict-text", routes: PREDICT, reads: "one text", bound: "one copy" },
    Entry {
        name: "predict-image",
        routes: PREDICT,
        reads: "one file, of which the decoders know their bounds",
        bound: "no copy",
    },
    Entry {
        name: "predict-lines",
        routes: PREDICT,
        reads: "up to 256 lines of 64 KiB together, or one longer, each as predict-json",
        bound: "4 bytes of memory a byte of a line and 2 KiB; 256 KiB more for all of a block",
    },
    Entry {
        name: "v2-json",
        routes: V2,
        reads: "tensors as lists, straight into elements of their type",
        bound: "4 bytes of memory a byte; the model's inputs and outputs and 16 more; 64 axes; 1 KiB of id",
    },
    Entry {
        name: "v2-binary",
        routes: V2,
        reads: "JSON as v2-json, then tensors as bytes",
        bound: "one copy of numbers; of strings their lengths and 24 bytes for each",
    },
    Entry { name: "v2-raw", routes: V2, reads: "one tensor as bytes", bound: "one copy" },
    Entry {
        name: "v1",
        routes: &[
            "POST /v1/models/{model}:predict",
            "POST /v1/models/{model}/versions/{version}:predict",
            "POST /v1/models/{model}/labels/{label}:predict",
        ],
        reads: "instances or inputs: tensors as v2-json, texts, images and features as predict-json",
        bound: "4 bytes of memory a byte; the names of the network's inputs alone",
    },
    Entry {
        name: "hugging-face",
        routes: &["POST /", "POST /models/{model}"],
        reads: "texts or images as predict-json",
        bound: "4 bytes of memory a byte; items to the limit of their kind",
    },
    Entry {
        name: "grpc-infer",
        routes: &[
            "/inference.GRPCInferenceService/ModelInfer",
            "/inference.GRPCInferenceService/ModelStreamInfer",
        ],
        reads: "a message in two passes: the model's name and counts first, then tensors",
        bound: "5 bytes of memory a byte, since a byte may be an element; inputs and outputs as v2-json",
    },
    Entry {
        name: "grpc-plain",
        routes: &[
            "/inference.GRPCInferenceService/ServerLive",
            "/inference.GRPCInferenceService/ServerReady",
            "/inference.GRPCInferenceService/ModelReady",
            "/inference.GRPCInferenceService/ServerMetadata",
            "/inference.GRPCInferenceService/ModelMetadata",
            "/inference.GRPCInferenceService/ModelConfig",
            "/inference.GRPCInferenceService/ModelStatistics",
            "/inference.GRPCInferenceService/RepositoryIndex",
            "/inference.GRPCInferenceService/RepositoryModelLoad",
            "/inference.GRPCInferenceService/RepositoryModelUnload",
            "/grpc.health.v1.Health/Check",
            "/grpc.health.v1.Health/Watch",
        ],
        reads: "a message of at most 16 KiB and 256 fields",
        bound: "no more than that; read where it is",
    },
    Entry {
        name: "grpc-reflection",
        routes: &[
            "/grpc.reflection.v1.ServerReflection/{method}",
            "/grpc.reflection.v1alpha.ServerReflection/{method}",
        ],
        reads: "messages of at most 256 bytes, which come back with their answers",
        bound: "no more than that; read where it is",
    },
    Entry {
        name: "repository",
        routes: &[
            "POST /v2/repository/index",
            "POST /v2/repository/models/{model}/load",
            "POST /v2/repository/models/{model}/unload",
        ],
        reads: "an object of at most 1 MiB, on the admin port",
        bound: "4 bytes of memory a byte; nothing is kept",
    },
];

#[cfg(test)]
mod tests;
#[cfg(test)]
mod worst;

//! What the Open Inference Protocol adds to a run: a 1×3×224×224 float tensor, binary both ways,
//! through HTTP against the raw session. Both in every round; medians and quartiles are printed.
//! Run with `cargo bench --bench v2`.

mod support;

use std::time::{Duration, Instant};

use support::{Bench, Client, ImageSteps, milliseconds, photo, quartiles, row};

const WARM_UP: usize = 20;
const ROUNDS: usize = 300;

fn main() {
    let bench = Bench::load(&support::runtime(), "efficientnet-lite0", |_| {});
    let threads = bench.config.runtime.layout(true).intra_op_threads;
    let mut steps = ImageSteps::new(&bench, threads);
    let mut client = Client::connect(bench.serve());
    let tensors = steps.resize(&steps.decode(&photo()));
    let binary = request(&tensors);

    let (mut raw, mut served): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + ROUNDS {
        let start = Instant::now();
        steps.run(&tensors);
        let ran = start.elapsed();
        let start = Instant::now();
        assert_eq!(client.ask(&binary), 200);
        let answered = start.elapsed();
        if round >= WARM_UP {
            raw.push(ran);
            served.push(answered);
        }
    }
    println!("{ROUNDS} rounds, {} KB a request, {threads} threads a run", binary.len() / 1024);
    println!("\n| | median ms | quartiles |\n|---|---|---|");
    row("session run", &milliseconds(&raw), 3);
    row("served, binary over HTTP", &milliseconds(&served), 3);
    let median = |times: &[Duration]| quartiles(&milliseconds(times))[1];
    println!("\nadded p50: {:.3} ms", median(&served) - median(&raw));
}

/// A whole request of HTTP/1.1.
fn request(tensors: &onnxd::tensor::Tensors) -> Vec<u8> {
    let (name, tensor) = &tensors.0[0];
    let mut bytes = Vec::new();
    onnxd::api::oip::binary::append(tensor, &mut bytes);
    let shape = tensor.shape();
    let json = format!(
        r#"{{"inputs":[{{"name":"{name}","shape":{shape:?},"datatype":"FP32","parameters":{{"binary_data_size":{}}}}}],"parameters":{{"binary_data_output":true}}}}"#,
        bytes.len()
    );
    let head = format!(
        "POST /v2/models/efficientnet-lite0/infer HTTP/1.1\r\nhost: onnxd\r\n\
         content-type: application/octet-stream\r\ninference-header-content-length: {}\r\n\
         content-length: {}\r\n\r\n",
        json.len(),
        json.len() + bytes.len()
    );
    [head.as_bytes(), json.as_bytes(), &bytes].concat()
}

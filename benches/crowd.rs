//! A crowd against the best loop by hand: 32 closed-loop clients over HTTP, and one single-threaded
//! session a core that decodes, resizes and runs (or tokenises and runs) without any server.
//!
//! The two take turns, a second each; throughputs and the ratio of each pair are printed.
//! Run with `make bench`.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use onnxd::runtime::cancel::Cancel;
use onnxd::runtime::session::{OnnxSession, Session};
use onnxd::tensor::Tensors;
use support::crowd::{Crowd, by_turns, ratios};
use support::{Bench, Client, ImageSteps, photo, request, row};
use tokenizers::Tokenizer;

const CLIENTS: usize = 32;
const PAIRS: usize = 9;
const TURN: Duration = Duration::from_secs(1);

fn compare(name: &str, by_hand: &Crowd, served: &Crowd) {
    let [hand, server] = by_turns([by_hand, served], PAIRS, TURN).map(|one| one.throughput);
    println!("\n{name}\n\n| | median a second | quartiles |\n|---|---|---|");
    row("by hand, a session a core", &hand, 1);
    row(&format!("served, {CLIENTS} clients"), &server, 1);
    row("served / by hand", &ratios(&server, &hand), 3);
}

/// A text of exactly 128 tokens, and what the network takes for it.
fn text(bench: &Bench, session: &OnnxSession) -> (String, Tokenizer, Vec<String>) {
    let tokenizer = Tokenizer::from_file(bench.folder.join("tokenizer.json")).unwrap();
    let text = "good ".repeat(126);
    let encoding = tokenizer.encode_fast(text.as_str(), true).unwrap();
    assert_eq!(encoding.len(), 128);
    let inputs = session.signature().inputs.iter().map(|input| input.name.clone()).collect();
    (text, tokenizer, inputs)
}

fn main() {
    let runtime = support::runtime();
    let cores = thread::available_parallelism().unwrap().get();
    println!("{cores} cores, {PAIRS} pairs of turns of {TURN:?}");

    let bench = Arc::new(Bench::load(&runtime, "efficientnet-lite0", |_| {}));
    let address = bench.serve();
    let number = AtomicUsize::new(0);
    let served = Crowd::start(CLIENTS, move || {
        let mut client = Client::connect(address);
        // Identical requests would share a run. A tail after the image's end tells clients apart.
        let mut file = photo();
        file.push(number.fetch_add(1, Ordering::Relaxed) as u8);
        let request = request("image/jpeg", &file);
        move || assert_eq!(client.ask(&request), 200)
    });
    let by_hand = Crowd::start(cores, move || {
        let (mut steps, file) = (ImageSteps::new(&bench, 1), photo());
        move || {
            std::hint::black_box(steps.all(&file));
        }
    });
    compare("640×480 JPEG, efficientnet-lite0 int8", &by_hand, &served);

    let bench = Arc::new(Bench::load(&runtime, "sentiment-minilm", |_| {}));
    let (words, _, _) = text(&bench, &bench.session(1));
    let address = bench.serve();
    let number = AtomicUsize::new(0);
    let served = Crowd::start(CLIENTS, move || {
        let mut client = Client::connect(address);
        let (own, words) = (number.fetch_add(1, Ordering::Relaxed), words.clone());
        move || {
            // The blanks tell clients apart and make no tokens.
            let blanks = " ".repeat(own);
            let body = format!("{{\"text\": \"{words}{blanks}\"}}");
            assert_eq!(client.ask(&request("application/json", body.as_bytes())), 200);
        }
    });
    let by_hand = Crowd::start(cores, move || {
        let session = bench.session(1);
        let (words, mut tokenizer, inputs) = text(&bench, &session);
        tokenizer.with_padding(None);
        let output = [session.signature().outputs[0].name.clone()];
        move || {
            let encoding = tokenizer.encode_fast(words.as_str(), true).unwrap();
            let tensors = inputs.iter().map(|name| {
                let values = if name == "input_ids" {
                    encoding.get_ids()
                } else {
                    encoding.get_attention_mask()
                };
                let values = values.iter().map(|value| i64::from(*value)).collect();
                let array = ndarray::ArrayD::from_shape_vec(vec![1, encoding.len()], values);
                (name.clone(), array.unwrap().into())
            });
            let tensors = Tensors(tensors.collect());
            std::hint::black_box(session.run(&tensors, &output, &Cancel::new(1)).unwrap());
        }
    });
    compare("text of 128 tokens, sentiment-minilm int8", &by_hand, &served);
}

//! Texts to tokens and back to the answer, of a tokenizer of words and parts of words.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onnxd_fuzz::Port;

fuzz_target!(|data: &[u8]| {
    Port::get().ask("/predict/text", &[("content-type", "text/plain")], data);
});

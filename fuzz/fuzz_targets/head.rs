//! What is before a body: path, query and headers. A line each: method, path with query, then headers.
#![no_main]

use axum::http::Request;
use libfuzzer_sys::fuzz_target;
use onnxd_fuzz::Port;

fuzz_target!(|data: &str| {
    let mut lines = data.lines();
    let (Some(method), Some(path)) = (lines.next(), lines.next()) else { return };
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    Port::get().ask_as(request);
});

//! The admin port: what is loaded, and to load and unload by bodies that say more.
#![no_main]

use libfuzzer_sys::fuzz_target;
use onnxd_fuzz::{Port, choose};

const PATHS: [&str; 3] = [
    "/v2/repository/index",
    "/v2/repository/models/none/load",
    "/v2/repository/models/none/unload",
];

fuzz_target!(|data: &[u8]| {
    let Some((path, body)) = choose(&PATHS, data) else { return };
    Port::get().ask_admin(path, body);
});

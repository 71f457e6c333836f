//! `model.toml`, and the server's own file of settings.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use onnxd::config::{Flags, ModelConfig, ServerConfig};

thread_local! {
    static FOLDER: tempfile::TempDir = tempfile::tempdir().unwrap();
}

fuzz_target!(|data: &str| {
    let _ = ModelConfig::parse(data);
    FOLDER.with(|folder| {
        let path = folder.path().join("onnxd.toml");
        fs::write(&path, data).unwrap();
        let _ = ServerConfig::load(Some(&path), &Flags::default());
    });
});

//! Files of labelled rows: CSV, TSV and lines of JSON, as `onnxd evaluate` reads them.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use onnxd::evaluate::data::{ColumnOptions, Dataset, FeatureShape};
use onnxd::tasks::InputKind;
use onnxd_fuzz::choose;

const ENDINGS: [&str; 3] = ["csv", "tsv", "jsonl"];

thread_local! {
    static FOLDER: tempfile::TempDir = tempfile::tempdir().unwrap();
}

fuzz_target!(|data: &[u8]| {
    let Some((ending, rest)) = choose(&ENDINGS, data) else { return };
    let Some((kind, content)) = choose(&[InputKind::Features, InputKind::Text], rest) else {
        return;
    };
    FOLDER.with(|folder| {
        let path = folder.path().join(format!("data.{ending}"));
        fs::write(&path, content).unwrap();
        let shape = FeatureShape::Row { names: None, count: Some(2) };
        let shape = (kind == InputKind::Features).then_some(&shape);
        let options = ColumnOptions::default();
        let Ok(data) = Dataset::open(&path, kind, &options, shape) else { return };
        let Ok(items) = data.items() else { return };
        let items: Vec<_> = items.flatten().collect();
        let _ = onnxd::evaluate::data::input(&items.iter().collect::<Vec<_>>(), shape);
    });
});

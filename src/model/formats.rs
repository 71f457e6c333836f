//! Models of other formats than ONNX, and how they are converted.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Whether ONNX Runtime takes the file for its own format, which it tells by the name.
#[must_use]
pub fn is_ort(network: &Path) -> bool {
    network.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ort"))
}

/// The files directly in a folder that end so, sorted.
pub fn files_ending(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension().is_some_and(|e| extensions.iter().any(|k| e.eq_ignore_ascii_case(k)))
                && path.is_file()
        })
        .collect();
    files.sort();
    files
}

pub fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A file of a format that ONNX Runtime does not load.
#[derive(Debug)]
pub struct Foreign {
    file: String,
    format: &'static str,
    /// How to get to ONNX; `FILE` stands for the file.
    conversion: &'static str,
}

/// Formats that a file's ending tells.
const BY_ENDING: [(&[&str], &str, &str); 10] = [
    (&["pmml"], "PMML", "convert it with `python models/recipes/pmml.py FILE FOLDER`"),
    (
        &["keras", "h5"],
        "a Keras model",
        "convert it with `python -m tf2onnx.convert --keras FILE --output model.onnx`",
    ),
    (
        &["tflite"],
        "TensorFlow Lite",
        "convert it with `python -m tf2onnx.convert --tflite FILE --output model.onnx`",
    ),
    (
        &["pt2"],
        "a program of torch.export",
        "convert it with `python -c 'import torch; \
         torch.onnx.export(torch.export.load(\"FILE\"), f=\"model.onnx\")'`",
    ),
    (&["pt", "pth"], "PyTorch", TORCH),
    (&["safetensors"], "weights without a network", TORCH),
    (
        &["pkl", "pickle", "joblib"],
        "a pickled Python object",
        "if it is a model of scikit-learn, convert it in Python: \
         `skl2onnx.to_onnx(model, X[:1], options={\"zipmap\": False})`",
    ),
    (
        &["cbm"],
        "CatBoost",
        "convert it with `python -c 'import catboost; \
         catboost.CatBoost().load_model(\"FILE\").save_model(\"model.onnx\", format=\"onnx\")'`",
    ),
    (&["plan", "engine"], "an engine of TensorRT", FROM_SOURCE),
    (
        &["pb"],
        "a graph of TensorFlow",
        "convert it with `python -m tf2onnx.convert --graphdef FILE --inputs NAME:0 \
         --outputs NAME:0 --output model.onnx`",
    ),
];

const OPTIMUM: &str = "convert the folder with `optimum-cli export onnx --task text-classification \
                       --model FOLDER OUT`, or another task";
const TORCH: &str = "convert it in Python, with the model's class at hand: \
                     `torch.onnx.export(model, (example,), \"model.onnx\", \
                     dynamic_shapes=({0: torch.export.Dim(\"batch\")},))`";
const FROM_SOURCE: &str = "it cannot be turned back: export ONNX from what it was made of";
const XGBOOST: &str = "convert it in Python: `onnxmltools.convert_xgboost(booster, initial_types=[\
                       (\"features\", FloatTensorType([None, COLUMNS]))])`";
const LIGHTGBM: &str = "convert it in Python: `onnxmltools.convert_lightgbm(booster, \
                        initial_types=[(\"features\", FloatTensorType([None, COLUMNS]))], \
                        zipmap=False)`";

/// Formats that a file's first bytes tell: ending, first bytes, what it is, how to convert it.
const BY_CONTENT: [(&str, &[u8], &str, &str); 3] = [
    ("json", b"{\"learner\":", "XGBoost", XGBOOST),
    ("ubj", b"{L\0\0\0\0\0\0\0\x07learner", "XGBoost", XGBOOST),
    ("txt", b"tree\nversion=", "LightGBM", LIGHTGBM),
];

impl Foreign {
    /// The first model of another format in the folder.
    pub fn find(folder: &Path) -> Option<Self> {
        for saved_model in [folder.to_owned(), folder.join("saved_model")] {
            if saved_model.join("saved_model.pb").is_file() {
                return Some(Self {
                    file: "saved_model.pb".to_owned(),
                    format: "a SavedModel of TensorFlow",
                    conversion: "convert it with `python -m tf2onnx.convert --saved-model FOLDER \
                                 --output model.onnx`",
                });
            }
        }
        let weights = files_ending(folder, &["bin", "safetensors"])
            .into_iter()
            .find(|path| is_safetensors(path) || name(path).starts_with("pytorch_model"));
        match weights {
            Some(path) if folder.join("config.json").is_file() => {
                let format = "a model of Hugging Face Transformers";
                return Some(Self { file: name(&path), format, conversion: OPTIMUM });
            }
            Some(path) if !is_safetensors(&path) => {
                return Some(Self { file: name(&path), format: "PyTorch", conversion: TORCH });
            }
            _ => {}
        }
        for (endings, format, conversion) in BY_ENDING {
            if let Some(path) = files_ending(folder, endings).first() {
                return Some(Self { file: name(path), format, conversion });
            }
        }
        if let Some(path) =
            files_ending(folder, &["xml"]).iter().find(|path| path.with_extension("bin").is_file())
        {
            let format = "a model of OpenVINO";
            return Some(Self { file: name(path), format, conversion: FROM_SOURCE });
        }
        BY_CONTENT.into_iter().find_map(|(ending, start, format, conversion)| {
            let files = files_ending(folder, &[ending]);
            let path = files.iter().find(|path| starts_with(path, start))?;
            Some(Self { file: name(path), format, conversion })
        })
    }
}

fn is_safetensors(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "safetensors")
}

fn starts_with(path: &Path, start: &[u8]) -> bool {
    let mut read = vec![0; start.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut read)).is_ok() && read == start
}

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, format, conversion } = self;
        let conversion = conversion.replace("FILE", file);
        write!(f, "no ONNX file in the folder, but {file} ({format}): {conversion}")
    }
}

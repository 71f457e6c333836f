//! Which file of a folder is the network, and what to do with files of other formats.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use crate::config::ModelConfig;
use crate::error::one_of;
use crate::runtime::provider::ExecutionProvider;
use crate::tasks::ModelFiles;

/// Whether a folder holds a model: one that can be loaded, or one of a format that must be converted.
#[must_use]
pub fn holds_model(folder: &Path) -> bool {
    holds_network(folder) || Foreign::find(folder).is_some()
}

/// Whether ONNX Runtime takes the file for its own format, which it tells by the name.
#[must_use]
pub fn is_ort(network: &Path) -> bool {
    network.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ort"))
}

/// The network's file: the provider's best variant, else `model.onnx`, else `model.ort`, else the
/// only `*.onnx` or the only `*.ort` there is.
///
/// # Errors
/// `model.toml` names a variant that is not there, the folder leaves open which file it is, or holds
/// none; then the sentence says how to convert what it holds.
pub fn network_file(
    folder: &Path,
    files: &ModelFiles,
    config: &ModelConfig,
    provider: ExecutionProvider,
) -> Result<PathBuf, String> {
    for (name, path) in &config.variants {
        if !ExecutionProvider::VARIANTS.contains(&name.as_str()) {
            let known = one_of(name, ExecutionProvider::VARIANTS);
            return Err(format!("model.toml: variants.{name}: expected {known}"));
        }
        if path.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(format!(
                "model.toml: variants.{name}: {} leaves the folder",
                path.display()
            ));
        }
    }
    let variants = provider.variants();
    if let Some((key, variant)) =
        variants.iter().find_map(|key| config.variants.get_key_value(*key))
    {
        let name = variant.to_string_lossy();
        return files
            .find(&name)
            .ok_or_else(|| format!("model.toml: variants.{key}: no file {name}"));
    }
    // A version that is still to be converted must not answer as the version beside it.
    if !holds_network(folder)
        && let Some(foreign) = Foreign::find(folder)
    {
        return Err(foreign.to_string());
    }
    let named = ["model.onnx", "onnx/model.onnx", "model.ort"];
    if let Some(path) = named.iter().find_map(|name| files.find(name)) {
        return Ok(path);
    }
    for extension in ["onnx", "ort"] {
        match files_ending(folder, &[extension]).as_slice() {
            [only] => return Ok(only.clone()),
            [] => {}
            several => {
                return Err(format!(
                    "several files end in .{extension} and none is called model.{extension}: {}; \
                     name one in model.toml: [variants] {} = \"FILE\"",
                    several.iter().map(|path| name(path)).collect::<Vec<_>>().join(", "),
                    variants.first().unwrap_or(&"cpu")
                ));
            }
        }
    }
    Err("no model.onnx in the folder".to_owned())
}

fn holds_network(folder: &Path) -> bool {
    !files_ending(folder, &["onnx", "ort"]).is_empty() || folder.join("onnx/model.onnx").is_file()
}

/// The files directly in a folder that end so, sorted.
fn files_ending(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension().is_some_and(|e| extensions.iter().any(|known| e == *known))
                && path.is_file()
        })
        .collect();
    files.sort();
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A file of a format that ONNX Runtime does not load.
#[derive(Debug)]
struct Foreign {
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
    fn find(folder: &Path) -> Option<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const PROVIDERS: [ExecutionProvider; 3] =
        [ExecutionProvider::Cpu, ExecutionProvider::Cuda(1), ExecutionProvider::TensorRt(0)];

    /// Which file each of [`PROVIDERS`] takes from a folder with these files.
    fn chosen(files: &[&str], config: &str) -> [Result<String, String>; 3] {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let files = ModelFiles::new(folder.path(), folder.path());
        let config = ModelConfig::parse(config).unwrap();
        PROVIDERS.map(|provider| {
            let path = network_file(folder.path(), &files, &config, provider)?;
            Ok(path.file_name().unwrap().to_string_lossy().into_owned())
        })
    }

    fn names(names: [&str; 3]) -> [Result<String, String>; 3] {
        names.map(|name| Ok(name.to_owned()))
    }

    #[test]
    fn each_provider_takes_its_variant() {
        let files = ["model.onnx", "int8.onnx", "fp16.onnx", "trt.onnx"];
        let cpu = "[variants]\ncpu = \"int8.onnx\"\n";
        let cuda = format!("{cpu}cuda = \"fp16.onnx\"\n");
        let all = format!("{cuda}tensorrt = \"trt.onnx\"\n");
        assert_eq!(chosen(&files, ""), names(["model.onnx"; 3]));
        assert_eq!(chosen(&files, cpu), names(["int8.onnx", "model.onnx", "model.onnx"]));
        assert_eq!(chosen(&files, &cuda), names(["int8.onnx", "fp16.onnx", "fp16.onnx"]));
        assert_eq!(chosen(&files, &all), names(["int8.onnx", "fp16.onnx", "trt.onnx"]));
    }

    #[test]
    fn a_variant_without_its_file_is_told_by_its_key() {
        let [cpu, cuda, tensorrt] = chosen(&["model.onnx"], "[variants]\ncuda = \"gone.onnx\"\n");
        assert_eq!(cpu, Ok("model.onnx".to_owned()));
        for told in [cuda, tensorrt] {
            assert_eq!(told, Err("model.toml: variants.cuda: no file gone.onnx".to_owned()));
        }
        let [unknown, ..] = chosen(&["model.onnx"], "[variants]\nrocm = \"model.onnx\"\n");
        assert!(unknown.unwrap_err().contains("variants.rocm"));
    }
}

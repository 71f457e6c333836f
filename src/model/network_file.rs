//! Which file of a folder is the network.

use std::path::{Component, Path, PathBuf};

use super::formats::{Foreign, files_ending, is_ort, name};
use crate::config::ModelConfig;
use crate::error::one_of;
use crate::impostor::{self, Expected};
use crate::runtime::provider::ExecutionProvider;
use crate::tasks::ModelFiles;

/// The network's file, and what chose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    pub path: PathBuf,
    pub by: String,
    /// The folder has others that it could have been, which somebody may have meant.
    pub has_others: bool,
}

/// What a folder holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// A model: one that can be loaded, or one of a format that must be converted.
    Model,
    /// Networks that are only together a model, and what that does.
    Parts(String),
    Nothing,
    /// Why it cannot be read.
    Unreadable(String),
}

impl Contents {
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        if let Err(error) = look_inside(folder) {
            return Self::Unreadable(impostor::unreadable(folder, &error));
        }
        if names_network(folder) {
            return Self::Model;
        }
        if let Some(told) = parts(folder) {
            return Self::Parts(told);
        }
        match holds_network(folder) || Foreign::find(folder).is_some() {
            true => Self::Model,
            false => Self::Nothing,
        }
    }
}

/// Files that are taken by their name, the first that there is.
const NAMED: [&str; 3] = ["model.onnx", "onnx/model.onnx", "model.ort"];

/// The network's file: the provider's variant, else one of `NAMED`, else the only `*.onnx` or `*.ort` in
/// the folder or in its folder `onnx`, else the best of several forms of one network.
///
/// # Errors
/// `model.toml` names a variant that is not there, the folder leaves open which file it is, or holds none;
/// then the sentence says how to convert what it holds.
pub fn network_file(
    folder: &Path,
    files: &ModelFiles,
    config: &ModelConfig,
    provider: ExecutionProvider,
) -> Result<Chosen, String> {
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
    let by_name = |path, by: String| Chosen { path, by, has_others: false };
    if let Some((key, variant)) =
        variants.iter().find_map(|key| config.variants.get_key_value(*key))
    {
        let name = variant.to_string_lossy();
        let path = files.find(&name);
        let path = path.ok_or_else(|| format!("model.toml: variants.{key}: no file {name}"))?;
        return Ok(by_name(path, format!("model.toml (variants.{key})")));
    }
    // A version that is still to be converted must not answer as the version beside it.
    if !holds_network(folder)
        && let Some(foreign) = Foreign::find(folder)
    {
        return Err(foreign.to_string());
    }
    if let Some(path) = NAMED.iter().find_map(|name| files.find(name)) {
        return Ok(by_name(path, "its name".to_owned()));
    }
    if let Some(told) = parts(folder) {
        return Err(told);
    }
    let key = variants.first().unwrap_or(&"cpu");
    for candidates in networks(folder) {
        match candidates.as_slice() {
            [] => {}
            [only] => return Ok(by_name(only.clone(), "there is no other".to_owned())),
            several => return best(folder, several, provider, key),
        }
    }
    match look_inside(folder) {
        Err(error) => Err(format!("the folder {}", impostor::unreadable(folder, &error))),
        Ok(()) => Err("no model.onnx in the folder".to_owned()),
    }
}

/// Whether a folder's files can be seen. That its names can be read is not enough.
fn look_inside(folder: &Path) -> std::io::Result<()> {
    folder.join(".").metadata().and_then(|_| std::fs::read_dir(folder)).map(drop)
}

/// Whether the file may be a network.
///
/// # Errors
/// What it is instead.
pub fn check(network: &Path) -> Result<(), String> {
    // Of ORT's own format the name tells.
    let expected = if is_ort(network) { Expected::Bytes } else { Expected::Network };
    match impostor::told(network, expected) {
        Some(told) => Err(format!("{} {told}", name(network))),
        None => Ok(()),
    }
}

/// Whether there is a file of [`NAMED`].
fn names_network(folder: &Path) -> bool {
    NAMED.iter().any(|name| folder.join(name).is_file())
}

fn holds_network(folder: &Path) -> bool {
    networks(folder).any(|files| !files.is_empty())
}

/// Networks by where they lie and their format, those first that count first.
fn networks(folder: &Path) -> impl Iterator<Item = Vec<PathBuf>> {
    let places = [folder.to_owned(), folder.join("onnx")];
    places
        .into_iter()
        .flat_map(|place| ["onnx", "ort"].map(|ending| files_ending(&place, &[ending])))
}

/// Ends of names, as optimum, transformers.js and sentence-transformers write them, with the best form for
/// a CPU first: as exact as can be, then 8 bits, which are fast, then 16, for which it has few
/// operators, then 4.
const FORMS: [(&str, Form); 26] = [
    ("optimized", Form::Full),
    ("o3", Form::Full),
    ("o2", Form::Full),
    ("o1", Form::Full),
    ("fp32", Form::Full),
    ("float32", Form::Full),
    ("quantized", Form::Eight),
    ("q8", Form::Eight),
    ("int8", Form::Eight),
    ("uint8", Form::Eight),
    ("quint8_avx2", Form::Eight),
    ("qint8_avx512_vnni", Form::Eight),
    ("qint8_avx512", Form::Eight),
    ("qint8_arm64", Form::Eight),
    ("fp16", Form::Half),
    ("float16", Form::Half),
    ("o4", Form::Half),
    ("bf16", Form::Half),
    ("q4", Form::Four),
    ("q4f16", Form::Four),
    ("int4", Form::Four),
    ("uint4", Form::Four),
    ("bnb4", Form::Four),
    ("q8f16", Form::Four),
    ("q2", Form::Four),
    ("q2f16", Form::Four),
];

/// Bits of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Full,
    Eight,
    Half,
    Four,
}

impl Form {
    /// Lower is better.
    fn rank(self, on_gpu: bool) -> usize {
        match (self, on_gpu) {
            (Self::Full, _) => 0,
            (Self::Eight, false) | (Self::Half, true) => 1,
            (Self::Half, false) | (Self::Eight, true) => 2,
            (Self::Four, _) => 3,
        }
    }
}

/// A name without its ending and its form, and where in [`FORMS`] that is.
fn form_of(path: &Path) -> (String, Option<usize>) {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let lower = stem.to_ascii_lowercase();
    let found = FORMS.iter().enumerate().filter_map(|(index, (end, _))| {
        let base = lower.strip_suffix(end)?.strip_suffix(['_', '-', '.'])?;
        (!base.is_empty()).then_some((base.len(), index))
    });
    // The longest ending: `qint8_avx512` is none of `avx512`.
    match found.min_by_key(|(length, _)| *length) {
        Some((length, index)) => (lower[..length].to_owned(), Some(index)),
        None => (lower, None),
    }
}

/// The best of several files, if they are forms of one network.
fn best(
    folder: &Path,
    several: &[PathBuf],
    provider: ExecutionProvider,
    key: &str,
) -> Result<Chosen, String> {
    let relative = |path: &Path| path.strip_prefix(folder).unwrap_or(path).display().to_string();
    let all = several.iter().map(|path| relative(path)).collect::<Vec<_>>().join(", ");
    let forms: Vec<_> = several.iter().map(|path| form_of(path)).collect();
    if forms.iter().any(|(base, _)| *base != forms[0].0) {
        let ending = several[0].extension().unwrap_or_default().to_string_lossy();
        return Err(format!(
            "several files end in .{ending} and none is called model.{ending}: {all}; name one in \
             model.toml: [variants] {key} = \"FILE\""
        ));
    }
    let on_gpu = provider.gpu().is_some();
    // Another machine's instructions come last among their like.
    let is_foreign = |path: &Path| name(path).contains("arm64") != cfg!(target_arch = "aarch64");
    let rank = |(path, (_, form)): &(&PathBuf, &(String, Option<usize>))| {
        form.map_or((0, false, 0), |index| {
            let (end, form) = FORMS[index];
            let other = end.starts_with('q') && end.contains('_') && is_foreign(path);
            (form.rank(on_gpu), other, index + 1)
        })
    };
    let best = several.iter().zip(&forms).min_by_key(rank).map_or(&several[0], |(path, _)| path);
    let place = if on_gpu { "a GPU" } else { "a CPU" };
    let by = format!(
        "the best for {place} of {all}; [variants] {key} = \"FILE\" in model.toml takes another"
    );
    Ok(Chosen { path: best.clone(), by, has_others: true })
}

/// What a folder's networks do together, if they are parts of a model that generates.
fn parts(folder: &Path) -> Option<String> {
    let files = networks(folder).find(|files| !files.is_empty())?;
    let mut bases: Vec<String> = files.iter().map(|file| form_of(file).0).collect();
    bases.dedup();
    let has = |part: &str| bases.iter().any(|base| base.contains(part));
    if bases.len() < 2 || !bases.iter().any(|base| base.starts_with("decoder")) {
        return None;
    }
    let what = match (has("encoder"), has("embed_tokens") || has("with_past") || has("merged")) {
        (true, _) => "an encoder and a decoder, which generate text together",
        (false, true) => "a decoder in several parts, which generates text",
        // Such as that of an image: nothing says what it makes.
        (false, false) => return None,
    };
    let mut names: Vec<String> = files
        .iter()
        .map(|path| path.strip_prefix(folder).unwrap_or(path).display().to_string())
        .collect();
    // Short names first: those without a form.
    names.sort_by_key(String::len);
    let more = names.len().saturating_sub(4);
    let first = names.iter().find(|name| name.contains("encoder")).unwrap_or(&names[0]).clone();
    names.truncate(4);
    let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!(
        "it holds {what} ({}{and_more}); onnxd runs one network for an answer, so this is not \
         served. In model.toml [variants] cpu = \"{first}\" serves that network by itself, as \
         tensors",
        names.join(", ")
    ))
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
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            // No more than a number of the format's version.
            std::fs::write(path, b"\x08\x08").unwrap();
        }
        let files = ModelFiles::new(folder.path(), folder.path());
        let config = ModelConfig::parse(config).unwrap();
        PROVIDERS.map(|provider| {
            let path = network_file(folder.path(), &files, &config, provider)?.path;
            Ok(path.strip_prefix(folder.path()).unwrap().to_string_lossy().into_owned())
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

    #[test]
    fn forms_of_one_network_are_chosen_by_what_suits_the_device() {
        let both = |files: &[&str]| {
            let [cpu, cuda, _] = chosen(files, "");
            (cpu.unwrap(), cuda.unwrap())
        };
        for (files, cpu, gpu) in [
            (
                &["onnx/model_quantized.onnx"][..],
                "onnx/model_quantized.onnx",
                "onnx/model_quantized.onnx",
            ),
            (
                &["model_optimized.onnx", "model_quantized.onnx"],
                "model_optimized.onnx",
                "model_optimized.onnx",
            ),
            (
                &[
                    "onnx/model_fp16.onnx",
                    "onnx/model_int8.onnx",
                    "onnx/model_q4.onnx",
                    "onnx/model_quantized.onnx",
                ],
                "onnx/model_quantized.onnx",
                "onnx/model_fp16.onnx",
            ),
            (&["model_q4.onnx", "model_fp16.onnx"], "model_fp16.onnx", "model_fp16.onnx"),
            (
                &["resnet.onnx", "resnet.int8.onnx", "resnet-fp16.onnx"],
                "resnet.onnx",
                "resnet.onnx",
            ),
            (
                &["onnx/model_O3.onnx", "onnx/model_O4.onnx"],
                "onnx/model_O3.onnx",
                "onnx/model_O3.onnx",
            ),
        ] {
            assert_eq!(both(files), (cpu.to_owned(), gpu.to_owned()), "{files:?}");
        }
        let named = chosen(
            &["onnx/model_int8.onnx", "onnx/model_q4.onnx"],
            "[variants]\ncpu = \"onnx/model_q4.onnx\"",
        );
        assert_eq!(named[0], Ok("onnx/model_q4.onnx".to_owned()));
        let [open, ..] = chosen(&["a.onnx", "b.onnx"], "");
        assert!(open.unwrap_err().contains("a.onnx, b.onnx; name one in model.toml"));
    }

    #[test]
    fn an_encoder_with_its_decoder_is_told_for_what_it_is() {
        let files = ["encoder_model.onnx", "decoder_model.onnx", "decoder_with_past_model.onnx"];
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), b"\x08\x08").unwrap();
        }
        let Contents::Parts(told) = Contents::of(folder.path()) else { panic!("no parts") };
        assert!(told.contains("an encoder and a decoder, which generate text together"), "{told}");
        assert!(told.contains("decoder_model.onnx, encoder_model.onnx"), "{told}");
        let [variant, ..] = chosen(&files, "[variants]\ncpu = \"encoder_model.onnx\"");
        assert_eq!(variant, Ok("encoder_model.onnx".to_owned()));
        // The whole in one file goes before its parts.
        std::fs::write(folder.path().join("model.onnx"), b"\x08\x08").unwrap();
        assert_eq!(Contents::of(folder.path()), Contents::Model);
    }
}

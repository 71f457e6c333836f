//! Configuration: of the server (defaults < file < environment < flags) and of one model.

mod device;
mod edge;
mod layers;
mod repository;
mod telemetry;
mod versions;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

pub use device::{Device, GpuOptions};
pub use edge::{Admin, Server, Tls};
pub use repository::{Control, Models};
pub use telemetry::{Log, LogFormat, Trace};
pub use versions::{STABLE, Versions};

/// The file that documents every key.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// What `onnxd serve` and `onnxd predict` are told.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    pub server: Server,
    pub admin: Admin,
    pub tls: Tls,
    pub models: Models,
    pub limits: Limits,
    pub runtime: RuntimeConfig,
    pub log: Log,
    pub trace: Trace,
}

/// Bounds on what one request may ask.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub max_images: usize,
    pub max_texts: usize,
    pub max_rows: usize,
    /// Bytes of UTF-8.
    pub max_text_bytes: usize,
    /// Pixels.
    pub max_image_side: u32,
    /// Width × height.
    pub max_image_pixels: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeConfig {
    library: PathBuf,
    pub device: Device,
    gpu_memory_limit: usize,
    tensorrt_cache: PathBuf,
    /// Sessions of each model; 0: by the cores.
    pub instances: usize,
    /// 0: the sessions share the cores.
    pub intra_op_threads: usize,
    pub elastic: bool,
    graph_cache: PathBuf,
    compute_threads: usize,
    pub max_batch_size: BatchSize,
    /// Tokens, padding included.
    pub max_batch_tokens: NonZeroUsize,
    /// Tokens without padding over tokens with it, 0 to 1.
    pub min_padding_efficiency: f64,
    /// Rows.
    pub max_queue_size: NonZeroUsize,
    /// Bytes.
    pub max_queue_bytes: usize,
    #[serde(with = "humantime_serde")]
    pub max_queue_delay: Duration,
    #[serde(with = "humantime_serde")]
    pub queue_objective: Duration,
}

/// What the command line may say; each overrides its key.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    pub listen: Option<SocketAddr>,
    pub models: Option<PathBuf>,
    pub library: Option<PathBuf>,
    pub device: Option<Device>,
}

impl ServerConfig {
    /// What no single key can say of itself.
    fn check(&self) -> anyhow::Result<()> {
        self.server.check()?;
        self.tls.files()?;
        let efficiency = self.runtime.min_padding_efficiency;
        anyhow::ensure!(
            (0.0..=1.0).contains(&efficiency),
            "configuration: runtime.min_padding_efficiency = {efficiency} is not within 0 and 1"
        );
        anyhow::ensure!(
            !self.runtime.queue_objective.is_zero(),
            "configuration: runtime.queue_objective must be longer than 0s"
        );
        self.trace.check()?;
        self.models.check()?;
        let queue = self.runtime.max_queue_size.get();
        let Limits { max_images, max_texts, max_rows, .. } = self.limits;
        if let BatchSize::Rows(rows) = self.runtime.max_batch_size {
            anyhow::ensure!(
                rows.get() <= queue,
                "configuration: runtime.max_batch_size = {rows} is more than \
                 runtime.max_queue_size = {queue}"
            );
        }
        for (key, limit) in
            [("max_images", max_images), ("max_texts", max_texts), ("max_rows", max_rows)]
        {
            // A list is admitted row by row, so a longer one than the queue never would be.
            anyhow::ensure!(
                limit <= queue,
                "configuration: limits.{key} = {limit} is more than runtime.max_queue_size = {queue}"
            );
        }
        Ok(())
    }
}

impl RuntimeConfig {
    /// The library's path, if one is named.
    #[must_use]
    pub fn library(&self) -> Option<&Path> {
        Some(self.library.as_path()).filter(|path| !path.as_os_str().is_empty())
    }

    /// How sessions on a GPU are set up.
    #[must_use]
    pub fn gpu(&self) -> GpuOptions {
        let cache = Some(&self.tensorrt_cache).filter(|path| !path.as_os_str().is_empty());
        GpuOptions {
            memory_limit: Some(self.gpu_memory_limit).filter(|limit| *limit > 0),
            tensorrt_cache: cache.cloned(),
        }
    }

    /// Sessions of each model, and threads inside a run of one.
    ///
    /// Many single-threaded sessions carry more than one over all cores, and each takes memory: by
    /// default there is one a core up to four, and they share the cores. On a GPU there is one.
    #[must_use]
    pub fn layout(&self, on_cpu: bool) -> Layout {
        self.layout_of(&ModelConfig::default(), on_cpu)
    }

    /// The same for one model, whose `model.toml` may say otherwise.
    #[must_use]
    pub fn layout_of(&self, model: &ModelConfig, on_cpu: bool) -> Layout {
        let instances = model.instances.map_or(self.instances, NonZeroUsize::get);
        let threads = model.intra_op_threads.map_or(self.intra_op_threads, NonZeroUsize::get);
        let elastic = self.elastic && on_cpu;
        let instances = if on_cpu || instances > 0 { instances } else { 1 };
        Layout::choose(instances, threads, or_cores(0), elastic)
    }

    /// The folder of optimised graphs; `None` if there is to be none, or no place for it is known.
    #[must_use]
    pub fn graph_cache(&self) -> Option<PathBuf> {
        match self.graph_cache.as_os_str() {
            path if path.is_empty() => None,
            path if path == "auto" => {
                let absolute = |variable| {
                    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
                };
                let home = || absolute("HOME").map(|home| home.join(".cache"));
                absolute("XDG_CACHE_HOME").or_else(home).map(|cache| cache.join("onnxd"))
            }
            path => Some(path.into()),
        }
    }

    /// Cores that this process may use.
    #[must_use]
    pub fn cores(&self) -> usize {
        or_cores(0)
    }

    #[must_use]
    pub fn compute_threads(&self) -> usize {
        or_cores(self.compute_threads)
    }
}

/// How sessions share the cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Sessions of each model.
    pub instances: usize,
    /// Threads inside a run of a session.
    pub intra_op_threads: usize,
    /// Threads inside a run of the further session, for a request that is alone; `None` if there is no
    /// such session.
    pub wide: Option<usize>,
}

impl Layout {
    /// 0 stands for what is not configured. What is configured is meant as it stands, so that only a
    /// layout of our own is `elastic`.
    fn choose(instances: usize, threads: usize, cores: usize, elastic: bool) -> Self {
        const MOST_INSTANCES: usize = 4;
        let wide = Some(cores).filter(|_| elastic && (instances, threads) == (0, 0) && cores > 1);
        let instances = match (instances, threads) {
            (0, 0) => cores.min(MOST_INSTANCES),
            (0, threads) => (cores / threads).clamp(1, MOST_INSTANCES),
            (some, _) => some,
        };
        let intra_op_threads = if threads == 0 { (cores / instances).max(1) } else { threads };
        Self { instances, intra_op_threads, wide }
    }
}

/// `threads`, or for 0 the cores that this process may use (affinity and the cgroup's quota).
fn or_cores(threads: usize) -> usize {
    match threads {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        some => some,
    }
}

/// `model.toml`: only what the model's own files do not say.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// One of the tasks that `tasks::build` lists, for example `image-classification`.
    pub task: Option<String>,
    /// Answers `/predict` when several models take that kind of input and none is named.
    #[serde(default)]
    pub default: bool,
    pub labels: Option<Vec<String>>,
    /// Names of the features, in the order of the input's columns.
    pub feature_names: Option<Vec<String>>,
    /// What becomes of named columns that the model does not take.
    #[serde(default)]
    pub extra_columns: ExtraColumns,
    /// Which output holds the scores.
    pub output: Option<String>,
    pub scores: Option<Scores>,
    /// As in Hugging Face's `config.json`, for example `multi_label_classification`.
    pub problem_type: Option<String>,
    /// Most tokens of a text.
    pub max_length: Option<usize>,
    /// How the vectors of a text's tokens become one.
    pub pooling: Option<Pooling>,
    /// Embeddings are scaled to length 1.
    pub normalize: Option<bool>,
    pub max_batch_size: Option<BatchSize>,
    /// Sessions of this model, in the place of `runtime.instances`.
    pub instances: Option<NonZeroUsize>,
    /// Threads inside a run, in the place of `runtime.intra_op_threads`.
    pub intra_op_threads: Option<NonZeroUsize>,
    /// In the place of `runtime.max_queue_delay`.
    #[serde(default, with = "humantime_serde")]
    pub max_queue_delay: Option<Duration>,
    /// In the place of `runtime.device`.
    pub device: Option<Device>,
    /// Model files by execution provider: `cpu = "model.int8.onnx"`.
    #[serde(default)]
    pub variants: BTreeMap<String, PathBuf>,
    /// Keys of Hugging Face's `preprocessor_config.json`, which override that file's.
    pub preprocess: Option<toml::Table>,
    #[serde(default)]
    pub versions: Versions,
}

/// Most rows in one run of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected \"auto\" or a number of rows from 1 on")]
pub enum BatchSize {
    Rows(NonZeroUsize),
    /// As many as the model gains from, measured when it is loaded.
    #[serde(deserialize_with = "auto")]
    Auto,
}

fn auto<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "auto" => Ok(()),
        other => Err(D::Error::custom(format!("expected \"auto\", got \"{other}\""))),
    }
}

/// What becomes of named columns that a model of features does not take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExtraColumns {
    /// The request is refused, since such a column may be a name misspelt.
    #[default]
    Refuse,
    Ignore,
}

/// What the scores in a model's output are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scores {
    /// Before softmax (or sigmoid, for several labels).
    Logits,
    Probabilities,
    /// No scores but values: a regression.
    Values,
}

/// How the vectors of a text's tokens become one, named as sentence-transformers does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The first token's.
    Cls,
    /// The largest of each component.
    Max,
    Mean,
    /// The sum, divided by the square root of the number of tokens.
    #[serde(rename = "mean_sqrt_len", alias = "mean_sqrt_len_tokens")]
    MeanSqrtLen,
    /// The mean, weighted by the token's place: 1, 2, 3, ….
    WeightedMean,
    /// The last token's.
    LastToken,
}

impl ModelConfig {
    /// # Errors
    /// The file is no TOML, or has an unknown key.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| format!("model.toml: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_defaults_are_valid_and_flags_win() {
        let flags = Flags { models: Some("elsewhere".into()), ..Flags::default() };
        let config = ServerConfig::load(None, &flags).unwrap();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.models.path, Path::new("elsewhere"));
        assert_eq!(config.runtime.library(), None);
        assert_eq!(config.runtime.device, Device::Auto);
        assert_eq!(config.runtime.gpu().memory_limit, None);
    }

    #[test]
    fn a_device_is_read_and_one_that_there_is_not_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("onnxd.toml");
        std::fs::write(&file, "[runtime]\ndevice = \"cuda:1\"\n").unwrap();
        let device = |flags| ServerConfig::load(Some(&file), &flags).unwrap().runtime.device;
        assert_eq!(device(Flags::default()), Device::Cuda(1));
        let flag = Flags { device: Some(Device::Cpu), ..Flags::default() };
        assert_eq!(device(flag), Device::Cpu);

        std::fs::write(&file, "[runtime]\ndevice = \"gpu\"\n").unwrap();
        let error = ServerConfig::load(Some(&file), &Flags::default()).unwrap_err();
        let said = format!("{error:#}");
        assert!(said.contains("\"cuda:N\"") && said.contains("runtime.device"), "{said}");
        assert_eq!(ModelConfig::parse("device = \"cpu\"").unwrap().device, Some(Device::Cpu));
        assert!(ModelConfig::parse("device = \"gpu\"").unwrap_err().contains("\"cuda:N\""));
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("onnxd.toml");
        std::fs::write(&file, "[server]\nlisten_on = \"127.0.0.1:1\"\n").unwrap();
        let error = ServerConfig::load(Some(&file), &Flags::default()).unwrap_err();
        assert!(format!("{error:#}").contains("listen_on"), "{error:#}");
        assert!(ModelConfig::parse("lables = []").unwrap_err().contains("lables"));
    }

    #[test]
    fn sessions_share_the_cores() {
        let layout = |instances, threads, cores| {
            let layout = Layout::choose(instances, threads, cores, true);
            (layout.instances, layout.intra_op_threads, layout.wide)
        };
        assert_eq!(layout(0, 0, 1), (1, 1, None));
        assert_eq!(layout(0, 0, 2), (2, 1, Some(2)));
        assert_eq!(layout(0, 0, 16), (4, 4, Some(16)));
        assert_eq!(layout(1, 0, 16), (1, 16, None));
        assert_eq!(layout(0, 8, 16), (2, 8, None));
        assert_eq!(layout(0, 32, 16), (1, 32, None));
        assert_eq!(layout(3, 2, 1), (3, 2, None));
        assert_eq!(Layout::choose(0, 0, 2, false).wide, None);
    }

    #[test]
    fn a_model_may_have_a_layout_of_its_own() {
        let config = ServerConfig::load(None, &Flags::default()).unwrap();
        let text = "instances = 3\nintra_op_threads = 2\nmax_queue_delay = \"2ms\"";
        let model = ModelConfig::parse(text).unwrap();
        let layout = config.runtime.layout_of(&model, true);
        assert_eq!((layout.instances, layout.intra_op_threads), (3, 2));
        assert_eq!(model.max_queue_delay, Some(Duration::from_millis(2)));
        assert!(ModelConfig::parse("instances = 0").is_err());
    }

    #[test]
    fn a_list_that_the_queue_cannot_hold_is_refused_at_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("onnxd.toml");
        std::fs::write(&file, "[limits]\nmax_rows = 5000\n").unwrap();
        let error = ServerConfig::load(Some(&file), &Flags::default()).unwrap_err();
        assert!(error.to_string().contains("limits.max_rows = 5000"), "{error}");
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let file = Path::new("/nonexistent/onnxd.toml");
        assert!(ServerConfig::load(Some(file), &Flags::default()).is_err());
    }
}

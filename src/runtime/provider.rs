//! The only list of execution providers: which one a device means, and how each is registered.

use std::fmt;

use ort::ep::cuda::ConvAlgorithmSearch;
use ort::ep::{
    ArenaExtendStrategy, CUDA, ExecutionProvider as _, ExecutionProviderDispatch, TensorRT,
};
use ort::session::Session;
use ort::session::builder::SessionBuilder;

use super::device::{self, Gpu};
use super::library::Runtime;
use crate::config::{Device, GpuOptions};

/// What runs the network, and for a GPU which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionProvider {
    Cpu,
    Cuda(u16),
    TensorRt(u16),
}

impl ExecutionProvider {
    /// Names that `[variants]` may use: a model folder is written once for every machine, so a
    /// variant for a provider that this machine does not have is no error.
    pub const VARIANTS: [&'static str; 3] = ["cpu", "cuda", "tensorrt"];

    /// The keys of `[variants]` that this provider takes, the best first.
    #[must_use]
    pub fn variants(self) -> &'static [&'static str] {
        match self {
            Self::Cpu => &["cpu"],
            Self::Cuda(_) => &["cuda"],
            Self::TensorRt(_) => &["tensorrt", "cuda"],
        }
    }

    /// The number of the GPU, if it is one.
    #[must_use]
    pub fn gpu(self) -> Option<u16> {
        match self {
            Self::Cpu => None,
            Self::Cuda(number) | Self::TensorRt(number) => Some(number),
        }
    }

    /// The provider for a device, tried out as far as that goes without a model. The second part
    /// says why `auto` came to be the CPU.
    ///
    /// # Errors
    /// The device that is asked for cannot be had: what is missing, and how to get it.
    pub fn choose(
        device: Device,
        runtime: &Runtime,
        options: &GpuOptions,
    ) -> Result<(Self, Option<String>), String> {
        let (wanted, number) = match device {
            Device::Cpu => return Ok((Self::Cpu, None)),
            Device::Auto => (Self::Cuda(0), 0),
            Device::Cuda(number) => (Self::Cuda(number), number),
            Device::TensorRt(number) => (Self::TensorRt(number), number),
        };
        match wanted.check(number, runtime, options) {
            Ok(gpu) => {
                let memory = device::memory(gpu.number);
                let free = memory.map_or(0, |(used, total)| (total - used) >> 20);
                tracing::debug!(device = %wanted, %gpu, free_mib = free, "found a GPU");
                Ok((wanted, None))
            }
            Err(reason) if device == Device::Auto => Ok((Self::Cpu, Some(reason))),
            Err(reason) => Err(format!(
                "device {device} cannot be had: {reason}. Without a GPU, ask for --device cpu"
            )),
        }
    }

    /// Is the GPU there, does the library have the provider, and does it start?
    fn check(self, number: u16, runtime: &Runtime, options: &GpuOptions) -> Result<Gpu, String> {
        let gpus = device::gpus().map_err(|reason| format!("no GPU: {reason}"))?;
        let gpu = gpus.get(usize::from(number)).cloned().ok_or_else(|| {
            let known: Vec<_> = gpus.iter().map(|gpu| format!("{} ({gpu})", gpu.number)).collect();
            format!("no GPU has the number {number}; there are {}", known.join(", "))
        })?;
        let available = match self {
            Self::Cpu => Ok(true),
            Self::Cuda(_) => CUDA::is_available(),
            Self::TensorRt(_) => TensorRT::is_available(),
        };
        if !available.map_err(|error| error.to_string())? {
            return Err(format!(
                "ONNX Runtime library {} is built without it; `make setup DEVICE=cuda` fetches one \
                 with it into .onnxruntime/cuda, where it is found, or name one with --onnxruntime",
                runtime.library.display()
            ));
        }
        // What the provider's own library needs is loaded only when a session asks for it, so a
        // session without a model is begun and dropped.
        let builder = Session::builder(&runtime.environment).map_err(|error| error.to_string())?;
        self.register(builder, runtime, options).map_err(|reason| {
            let how = match self {
                Self::TensorRt(_) => {
                    "TensorRT 10 (libnvinfer.so.10, libnvonnxparser.so.10) is not fetched by make: \
                     install it where the loader looks, for example by LD_LIBRARY_PATH"
                }
                _ => "`make setup DEVICE=cuda` fetches the libraries of CUDA and cuDNN",
            };
            format!("it does not start: {}; {how}", reason.replace('\n', " "))
        })?;
        Ok(gpu)
    }

    /// Puts the provider into a session that is being built.
    pub(super) fn register(
        self,
        builder: SessionBuilder,
        runtime: &Runtime,
        options: &GpuOptions,
    ) -> Result<SessionBuilder, String> {
        let providers = match self {
            // Every build of ONNX Runtime has this provider; nothing is to be registered.
            Self::Cpu => return Ok(builder),
            Self::Cuda(number) => vec![cuda(number, options)],
            // CUDA takes what TensorRT does not.
            Self::TensorRt(number) => vec![tensorrt(number, options), cuda(number, options)],
        };
        // The provider's options are C strings.
        let cache =
            options.tensorrt_cache.as_deref().map(|path| path.as_os_str().as_encoded_bytes());
        if cache.is_some_and(|path| path.contains(&0)) {
            return Err("runtime.tensorrt_cache has a zero byte in its path".to_owned());
        }
        runtime.load_cuda()?;
        // Otherwise a provider that does not start is left out without a word.
        let providers: Vec<_> =
            providers.into_iter().map(ExecutionProviderDispatch::error_on_failure).collect();
        builder.with_execution_providers(providers).map_err(|error| error.to_string())
    }
}

fn cuda(number: u16, options: &GpuOptions) -> ExecutionProviderDispatch {
    let mut provider = CUDA::default()
        .with_device_id(number.into())
        // The default doubles the arena each time.
        .with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
        // The default, exhaustive, costs up to a second at every new shape.
        .with_conv_algorithm_search(ConvAlgorithmSearch::Heuristic);
    if let Some(limit) = options.memory_limit {
        provider = provider.with_memory_limit(limit);
    }
    provider.build()
}

fn tensorrt(number: u16, options: &GpuOptions) -> ExecutionProviderDispatch {
    let mut provider = TensorRT::default().with_device_id(number.into());
    if let Some(limit) = options.memory_limit {
        provider = provider.with_max_workspace_size(limit);
    }
    if let Some(folder) = &options.tensorrt_cache {
        let folder = folder.display().to_string();
        provider = provider
            .with_engine_cache(true)
            .with_engine_cache_path(&folder)
            .with_timing_cache(true)
            .with_timing_cache_path(folder);
    }
    provider.build()
}

/// As in `--device`, and in the answer's `x-device`.
impl fmt::Display for ExecutionProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::TensorRt(number) => write!(f, "tensorrt:{number}"),
        }
    }
}

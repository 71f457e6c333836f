//! One loaded network: what goes in, what comes out, and the run between.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{ArrayD, IxDyn};
use ort::ErrorCode;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{RunOptions, Session as OrtSession, SessionInputValue};
use ort::value::{DynMapValueType, TensorElementType, TensorRef, ValueType};

use super::cancel::Cancel;
use super::initializers::{self, Initializers, WEIGHTS};
use super::library::Runtime;
use super::provider::ExecutionProvider;
use super::{arena, shared_run, told};
use crate::config::GpuOptions;
use crate::error::Error;
use crate::signature::{KEYS_SUFFIX, Kind, Signature, TensorSpec};
use crate::tensor::{DataType, Tensor, Tensors};

/// The reason of a failed run for which the backend blames the inputs.
pub const INVALID_ARGUMENT: &str = "invalid_argument";

/// Microseconds for which a thread inside a run looks out for its part of the next operator before it
/// sleeps: the operators of one run follow each other sooner, two runs do not.
const SPIN: &str = "50";
/// Which arenas a run gives back what no run uses.
const SHRINK: &str = "memory.enable_memory_arena_shrinkage";
/// Bytes from which on a tensor is kept in [`WEIGHTS`].
const SMALLEST_WEIGHT: &str = "1024";

/// Tensors in, tensors out. Implemented by [`OnnxSession`] and by the doubles in tests.
pub trait Session: Send + Sync {
    /// Runs one batch and gives the outputs of these names, in this order. Inputs are named as in
    /// [`Signature::inputs`]. A session that can be stopped says how with [`Cancel::on_stop`]. Several
    /// threads may run at once.
    ///
    /// # Errors
    /// Whatever the backend says, as [`crate::error::ErrorKind::Internal`].
    fn run(&self, inputs: &Tensors, outputs: &[String], cancel: &Cancel) -> Result<Tensors, Error>;

    /// Bytes of working memory that are kept for the next runs; `None` if the backend does not tell.
    fn working_memory(&self) -> Option<usize> {
        None
    }

    /// Gives working memory back that the last runs needed, by a run of these inputs. What another run uses
    /// meanwhile stays.
    fn give_back(&self, _: &Tensors) {}
}

/// A file of weights that a network names, in memory; shared by its sessions.
#[derive(Debug, Clone)]
pub struct Weights {
    /// As the network has it, relative to its folder.
    pub location: PathBuf,
    pub bytes: Arc<[u8]>,
}

/// A session of ONNX Runtime.
pub struct OnnxSession {
    session: OrtSession,
    /// Held by a run on a GPU, whose provider does not take several at once.
    turn: Option<Mutex<()>>,
    signature: Signature,
    /// Used where they lie, so that they must outlive the session.
    _weights: (Vec<Weights>, Option<Arc<Initializers>>),
    /// ONNX Runtime's environment must outlive its sessions.
    _runtime: Runtime,
}

impl OnnxSession {
    /// Loads the model file, with `threads` threads inside an operator. Files of weights that it names are
    /// mapped.
    ///
    /// # Errors
    /// ONNX Runtime's own, about a file that is missing, damaged or of an unknown opset.
    pub fn load(
        runtime: &Runtime,
        file: &Path,
        provider: ExecutionProvider,
        threads: usize,
        gpu: &GpuOptions,
    ) -> Result<Self, String> {
        Self::load_with(runtime, file, &[], provider, threads, gpu)
    }

    /// The same with files of weights that are in memory already.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with(
        runtime: &Runtime,
        file: &Path,
        weights: &[Weights],
        provider: ExecutionProvider,
        threads: usize,
        gpu: &GpuOptions,
    ) -> Result<Self, String> {
        let builder = builder(runtime, threads).map_err(|error| error.to_string())?;
        let builder = provider.register(builder, runtime, gpu)?;
        let session = Self::commit(runtime, builder, file, weights)
            .map_err(|error| told::refusal(&error.to_string(), file))?;
        Ok(Self { turn: provider.gpu().map(|_| Mutex::default()), ..session })
    }

    /// Loads a graph that [`Self::optimise`] wrote, for the CPU. Its weights are in memory once for all
    /// sessions that are made of them.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_optimised(
        runtime: &Runtime,
        file: &Path,
        weights: Option<&Arc<Initializers>>,
        threads: usize,
    ) -> Result<Self, String> {
        let load = || {
            let build = || {
                builder(runtime, threads)?
                    .with_optimization_level(GraphOptimizationLevel::Disable)
                    .map_err(ort::Error::from)
            };
            let commit = |builder| Self::commit(runtime, builder, file, &[]);
            let Some(weights) = weights else { return commit(build()?) };
            let session = weights.commit(build, commit)?;
            Ok(Self { _weights: (Vec::new(), Some(weights.clone())), ..session })
        };
        load().map_err(|error: ort::Error| error.to_string())
    }

    /// Writes the network as it is optimised for this machine's CPU to `to`, and its weights beside it. Files of
    /// weights that it names are in memory.
    ///
    /// # Errors
    /// As [`Self::load`]; or the files cannot be written.
    pub fn optimise(
        runtime: &Runtime,
        file: &Path,
        weights: &[Weights],
        to: &Path,
    ) -> Result<(), String> {
        let write = || {
            let key = |key: &str| format!("session.optimized_model_external_initializers_{key}");
            let builder = builder(runtime, 1)?
                .with_optimized_model_path(to)?
                .with_config_entry(key("file_name"), WEIGHTS)?
                .with_config_entry(key("min_size_in_bytes"), SMALLEST_WEIGHT)?
                // No run follows, for which weights would be laid out.
                .with_config_entry("session.disable_prepacking", "1")?;
            Self::commit(runtime, builder, file, weights).map(|_| ())
        };
        write().map_err(|error: ort::Error| error.to_string())
    }

    fn commit(
        runtime: &Runtime,
        mut builder: SessionBuilder,
        file: &Path,
        weights: &[Weights],
    ) -> Result<Self, ort::Error> {
        if !weights.is_empty() {
            builder = builder.with_config_entry(initializers::IN_PLACE, "1")?;
        }
        for Weights { location, bytes } in weights {
            builder = builder.with_external_initializer_file_in_memory(location, bytes.clone())?;
        }
        let session = builder.commit_from_file(file)?;
        let specs = |outlets: &[ort::value::Outlet]| {
            outlets.iter().map(|outlet| spec(outlet.name(), outlet.dtype())).collect()
        };
        let signature =
            Signature { inputs: specs(session.inputs()), outputs: specs(session.outputs()) };
        let (weights, runtime) = ((weights.to_vec(), None), runtime.clone());
        Ok(Self { session, turn: None, signature, _weights: weights, _runtime: runtime })
    }

    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }
}

/// A session to be, with `threads` threads inside an operator.
fn builder(runtime: &Runtime, threads: usize) -> Result<SessionBuilder, ort::Error> {
    // Its warnings tell an operator nothing: weights that no operator uses, small operators that stay on the CPU, for
    // which machine a graph is optimised and, at every single run, outputs of another shape than is declared.
    let builder = OrtSession::builder(&runtime.environment)?
        .with_log_level(LogLevel::Error)?
        .with_intra_threads(threads)?;
    if threads == 1 {
        return Ok(builder);
    }
    // By default they spin for so long that they take the processor from other sessions.
    Ok(builder
        .with_intra_op_spinning(runtime.bounds_spinning())?
        .with_config_entry("session.intra_op.spin_duration_us", SPIN)?)
}

impl OnnxSession {
    fn run_with(
        &self,
        mut options: RunOptions,
        inputs: &Tensors,
        outputs: &[String],
        cancel: &Cancel,
    ) -> Result<Tensors, Error> {
        let views: Vec<(&str, SessionInputValue<'_>)> = inputs
            .0
            .iter()
            .map(|(name, tensor)| Ok((name.as_str(), view(tensor)?)))
            .collect::<Result<_, ort::Error>>()
            .map_err(Error::internal)?;
        // ONNX Runtime need not log a failed run: the error is returned, and trial runs at the load often
        // fail without harm.
        options.set_log_level(LogLevel::Fatal).map_err(Error::internal)?;
        let options = Arc::new(options);
        let of_run = options.clone();
        cancel.on_stop(move || {
            // It acts between two nodes; a run that has ended meanwhile is no matter.
            let _ = of_run.terminate();
        });
        let names: Vec<&str> = outputs.iter().map(String::as_str).collect();
        let _turn =
            self.turn.as_ref().map(|turn| turn.lock().unwrap_or_else(PoisonError::into_inner));
        let (session, allocator) = (self.session.inner(), self.session.allocator());
        let values = shared_run::run(&session, allocator, &options, &views, &names);
        let values = values.map_err(|error| {
            let blamed = error.code() == ErrorCode::InvalidArgument;
            let error = Error::internal(error);
            if blamed { error.because(INVALID_ARGUMENT) } else { error }
        })?;
        let mut tensors = Vec::with_capacity(outputs.len());
        for (name, value) in outputs.iter().zip(&values) {
            if value.dtype().is_tensor() {
                tensors.push((name.clone(), copy(value).map_err(Error::internal)?));
            } else {
                let (scores, keys) = class_map(value).map_err(Error::internal)?;
                tensors.push((name.clone(), scores));
                tensors.push((format!("{name}{KEYS_SUFFIX}"), keys));
            }
        }
        Ok(Tensors(tensors))
    }
}

impl Session for OnnxSession {
    fn run(&self, inputs: &Tensors, outputs: &[String], cancel: &Cancel) -> Result<Tensors, Error> {
        self.run_with(RunOptions::new().map_err(Error::internal)?, inputs, outputs, cancel)
    }

    fn working_memory(&self) -> Option<usize> {
        arena::allocated(&self.session)
    }

    fn give_back(&self, inputs: &Tensors) {
        let Ok(mut options) = RunOptions::new() else { return };
        let outputs: Vec<String> =
            self.signature.outputs.iter().take(1).map(|spec| spec.name.clone()).collect();
        if options.set(SHRINK, "cpu:0").is_ok() {
            // It shrinks when the run has ended, however it has.
            let _ = self.run_with(options, inputs, &outputs, &Cancel::new(1));
        }
    }
}

fn spec(name: &str, value: &ValueType) -> TensorSpec {
    let (kind, shape) = match value {
        ValueType::Tensor { ty, shape, .. } => (
            data_type(*ty).map_or(Kind::Other, Kind::Tensor),
            shape.iter().map(|axis| usize::try_from(*axis).ok()).collect(),
        ),
        ValueType::Sequence(of) if matches!(**of, ValueType::Map { .. }) => {
            (Kind::ClassMap, vec![None, None])
        }
        _ => (Kind::Other, vec![]),
    };
    TensorSpec { name: name.to_owned(), kind, shape }
}

/// Pairs each of ONNX Runtime's element types with ours, once.
macro_rules! for_each_number {
    ($with:ident) => {
        $with! {
            Bool: bool = Bool, Uint8: u8 = U8, Uint16: u16 = U16, Uint32: u32 = U32,
            Uint64: u64 = U64, Int8: i8 = I8, Int16: i16 = I16, Int32: i32 = I32, Int64: i64 = I64,
            Float16: half::f16 = F16, Bfloat16: half::bf16 = BF16, Float32: f32 = F32,
            Float64: f64 = F64
        }
    };
}

macro_rules! define_conversions {
    ($($theirs:ident: $element:ty = $ours:ident),+) => {
        fn data_type(element: TensorElementType) -> Option<DataType> {
            match element {
                $(TensorElementType::$theirs => Some(DataType::$ours),)+
                TensorElementType::String => Some(DataType::String),
                _ => None,
            }
        }

        /// A tensor as ONNX Runtime sees it. Numbers are borrowed, strings are copied.
        fn view(tensor: &Tensor) -> Result<SessionInputValue<'_>, ort::Error> {
            Ok(match tensor {
                $(Tensor::$ours(array) => TensorRef::from_array_view(array.view())?.into(),)+
                Tensor::String(array) => ort::value::Tensor::from_string_array(array)?.into(),
            })
        }

        /// An output copied out of ONNX Runtime's memory.
        fn copy(value: &ort::value::DynValue) -> Result<Tensor, ort::Error> {
            Ok(match value.dtype().tensor_type() {
                $(Some(TensorElementType::$theirs) => {
                    Tensor::$ours(value.try_extract_array::<$element>()?.to_owned())
                })+
                Some(TensorElementType::String) => Tensor::String(value.try_extract_string_array()?),
                other => return Err(ort::Error::new(format!("an output of type {other:?}"))),
            })
        }
    };
}
for_each_number!(define_conversions);

/// Scores and class names of a `ZipMap` output, both `[rows, classes]`.
fn class_map(value: &ort::value::DynValue) -> Result<(Tensor, Tensor), ort::Error> {
    let sequence = value.view().downcast::<ort::value::DynSequenceValueType>()?;
    let (mut scores, mut keys, mut rows) = (Vec::new(), Vec::new(), 0);
    for map in sequence.try_extract_sequence::<DynMapValueType>()? {
        let pairs: Vec<(String, f32)> = match map.try_extract_key_values::<String, f32>() {
            Ok(pairs) => pairs,
            Err(_) => map
                .try_extract_key_values::<i64, f32>()?
                .into_iter()
                .map(|(key, score)| (key.to_string(), score))
                .collect(),
        };
        rows += 1;
        for (key, score) in pairs {
            keys.push(key);
            scores.push(score);
        }
    }
    let shape = IxDyn(&[rows, scores.len().checked_div(rows).unwrap_or(0)]);
    let uneven = |_| ort::Error::new("rows of a map output differ in their classes");
    Ok((
        ArrayD::from_shape_vec(shape.clone(), scores).map_err(uneven)?.into(),
        ArrayD::from_shape_vec(shape, keys).map_err(uneven)?.into(),
    ))
}

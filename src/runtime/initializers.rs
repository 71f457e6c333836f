//! The weights of an optimised graph, once in memory for all of its sessions.
//!
//! ONNX Runtime takes them where they lie. Those that its kernels lay out anew ("pre-pack") are laid out
//! once for all sessions, in a container that the sessions share; ONNX Runtime does this only for
//! initializers that are given to it one by one (`AddInitializer`). What they were laid out from is not read
//! again, so that it stays in the file: `initializers/packed.rs` says which these are.

mod packed;

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use ort::memory::Allocator;
use ort::session::builder::{PrepackedWeights, SessionBuilder};
use ort::sys::ONNXTensorElementDataType;
use ort::value::DynValue;
use ort::{AsPointer as _, Error};

use super::arena::main_memory;
use super::region::Region;
use crate::onnx::{GraphProto, TensorProto};

/// The file beside an optimised graph that holds its weights.
pub const WEIGHTS: &str = match FILE.to_str() {
    Ok(name) => name,
    Err(_) => panic!(),
};
/// The same for ONNX Runtime.
const FILE: &CStr = c"weights.bin";
/// Takes weights where they lie in memory, without a copy for each session.
pub(super) const IN_PLACE: &str = "session.use_external_initializer_file_buffers_directly";
/// How often pages that stay in the file are let go of while a session is made.
const FORGET: Duration = Duration::from_millis(10);

/// The weights of a graph. Sessions use them where they lie, so that they must outlive these.
pub struct Initializers {
    region: Region,
    tensors: Vec<Placed>,
    /// What sessions have laid out, once there is one.
    packed: OnceLock<PrepackedWeights>,
    /// A kernel cannot share what it lays out.
    apart: AtomicBool,
}

/// Ends the thread that lets go of pages, also where making the session panics.
#[derive(Default)]
struct Forgetting {
    made: Arc<AtomicBool>,
    thread: Option<Thread>,
}

impl Drop for Forgetting {
    fn drop(&mut self) {
        self.made.store(true, Ordering::Relaxed);
        if let Some(thread) = &self.thread {
            thread.unpark();
        }
    }
}

/// A tensor, and its bytes within the file.
struct Placed {
    name: String,
    shape: Vec<i64>,
    element: ONNXTensorElementDataType,
    bytes: Range<usize>,
}

impl Initializers {
    /// The weights that a graph has in the file beside it.
    ///
    /// # Errors
    /// The file cannot be read, or the graph and the file do not match.
    pub fn read(graph: &GraphProto, weights: &Path) -> io::Result<Self> {
        let file = File::open(weights)?;
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let mut tensors = Vec::new();
        // A tensor within a branch may have the name of another, which cannot be told apart.
        if !packed::has_inner_tensors(graph) {
            let external = graph.initializer.iter().filter(|tensor| tensor.data_location == 1);
            tensors.extend(external.filter_map(Placed::of).filter(|t| t.bytes.end <= length));
        }
        let names = packed::names(graph);
        let mut stay: Vec<Range<usize>> = tensors
            .iter()
            .filter(|placed| names.contains(placed.name.as_str()))
            .map(|placed| placed.bytes.clone())
            .collect();
        stay.sort_by_key(|range| range.start);
        stay.dedup_by(|next, before| next.start < before.end);
        let region = Region::read(&file, length, &stay)?;
        Ok(Self { region, tensors, packed: OnceLock::new(), apart: AtomicBool::new(false) })
    }

    /// Bytes that the weights take, in the layout of the file or in another.
    #[must_use]
    pub fn len(&self) -> usize {
        self.region.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.region.is_empty()
    }

    /// All bytes of the file in order, piece by piece, to be checked.
    pub fn pieces(&self, look: impl FnMut(&[u8])) {
        self.region.pieces(look);
    }

    /// Whether what sessions lay out anew of them is in memory once.
    #[must_use]
    pub fn are_shared(&self) -> bool {
        !self.tensors.is_empty() && !self.apart.load(Ordering::Relaxed)
    }

    /// Makes a session of these weights. What is laid out anew for it is in memory once: pages of what it
    /// is made from are let go of meanwhile. Kernels that cannot share what they lay out have their own.
    pub(super) fn commit<T>(
        &self,
        build: impl Fn() -> Result<SessionBuilder, Error>,
        commit: impl Fn(SessionBuilder) -> Result<T, Error>,
    ) -> Result<T, Error> {
        thread::scope(|scope| {
            let mut forgetting = Forgetting::default();
            let made = forgetting.made.clone();
            let forget = move || {
                while !made.load(Ordering::Relaxed) {
                    thread::park_timeout(FORGET);
                    self.region.forget();
                }
            };
            // Without a thread for it more memory is taken for a while.
            let spawned = thread::Builder::new().spawn_scoped(scope, forget);
            forgetting.thread = spawned.ok().map(|spawned| spawned.thread().clone());
            if self.are_shared() {
                let builder = self.add_file(build()?).and_then(|with| self.add_tensors(with));
                match builder.and_then(&commit) {
                    Ok(made) => return Ok(made),
                    Err(error) => {
                        tracing::debug!("weights are laid out for each session: {error}");
                        self.apart.store(true, Ordering::Relaxed);
                    }
                }
            }
            commit(self.add_file(build()?)?)
        })
    }

    /// All tensors one by one, and the container of what is laid out of them.
    fn add_tensors(&self, mut builder: SessionBuilder) -> Result<SessionBuilder, Error> {
        for placed in &self.tensors {
            let value = Arc::new(self.value(placed)?);
            builder = builder.with_initializer(&placed.name, value)?;
        }
        Ok(builder.with_prepacked_weights(self.packed.get_or_init(PrepackedWeights::new))?)
    }

    /// The file as a whole, for tensors that are not given one by one.
    fn add_file(&self, builder: SessionBuilder) -> Result<SessionBuilder, Error> {
        if self.region.is_empty() {
            return Ok(builder);
        }
        let builder = builder.with_config_entry(IN_PLACE, "1")?;
        let name = FILE.as_ptr();
        let (start, length) = (self.region.at(&(0..0)).as_ptr().cast(), self.region.len());
        #[expect(unsafe_code, reason = "`ort` takes only bytes that it owns")]
        // SAFETY: lists of one entry each, which are read before it returns; the memory outlives the session,
        // since `OnnxSession` holds both. ONNX Runtime only reads there.
        unsafe {
            Error::result_from_status((ort::api().AddExternalInitializersFromMemory)(
                builder.ptr().cast_mut(),
                &raw const name,
                &raw const start,
                &raw const length,
                1,
            ))?;
        }
        Ok(builder)
    }

    /// A tensor over its bytes where they lie.
    fn value(&self, Placed { shape, element, bytes, .. }: &Placed) -> Result<DynValue, Error> {
        let memory = main_memory()?;
        let mut value = ptr::null_mut();
        #[expect(unsafe_code, reason = "`ort` wants the type of the elements to be known here")]
        // SAFETY: the bytes are within the region, which outlives the session, and ONNX Runtime refuses a shape
        // that takes more of them. It only reads them.
        unsafe {
            Error::result_from_status((ort::api().CreateTensorWithDataAsOrtValue)(
                memory.ptr(),
                self.region.at(bytes).as_ptr().cast(),
                bytes.len(),
                shape.as_ptr(),
                shape.len(),
                *element,
                &raw mut value,
            ))?;
        }
        let value = NonNull::new(value).ok_or_else(|| Error::new("no tensor was made"))?;
        #[expect(unsafe_code, reason = "what the call above returns is a raw pointer")]
        // SAFETY: it was made just now, and nobody else has it.
        Ok(unsafe { DynValue::from_ptr(value, Some(&Allocator::default())) })
    }
}

impl Placed {
    /// Of a tensor in a file, if its elements are of a usual type.
    fn of(tensor: &TensorProto) -> Option<Self> {
        let number = |key: &str| {
            let entry = tensor.external_data.iter().find(|entry| entry.key == key)?;
            entry.value.parse::<usize>().ok()
        };
        let (start, length) = (number("offset").unwrap_or(0), number("length")?);
        Some(Self {
            name: tensor.name.clone(),
            shape: tensor.dims.clone(),
            element: element(tensor.data_type)?,
            bytes: start..start.checked_add(length)?,
        })
    }
}

/// ONNX Runtime's own word for a `TensorProto.DataType`.
fn element(data_type: i32) -> Option<ONNXTensorElementDataType> {
    use ONNXTensorElementDataType as E;
    Some(match data_type {
        1 => E::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
        2 => E::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8,
        3 => E::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
        4 => E::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16,
        5 => E::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16,
        6 => E::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
        7 => E::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64,
        9 => E::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
        10 => E::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
        11 => E::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE,
        12 => E::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32,
        13 => E::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64,
        16 => E::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16,
        _ => return None,
    })
}

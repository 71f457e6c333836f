//! A run of a session on which other threads run at the same time: the only place that calls ONNX
//! Runtime's `Run` itself.
//!
//! `ort` gives `Session::run` to one thread at a time, for the sake of the providers of GPUs. ONNX Runtime
//! promises more for the CPU: several threads may call `Run` of one session at once (its *High level
//! design*), kernels' `Compute` is `const`, and each run has an execution frame of its own. Its own servers, Triton's backend among them, rest on it. The promise is not
//! used for GPUs: their sessions run one call at a time ([`super::session::OnnxSession`]). It is tried by
//! `tests/it/shared_session.rs`, and under valgrind by `scripts/shared_session_check.sh`.

use std::ffi::CString;
use std::ptr::{self, NonNull};

use ort::memory::Allocator;
use ort::session::{RunOptions, SessionInputValue, SharedSessionInner};
use ort::value::DynValue;
use ort::{AsPointer, Error};

/// The outputs of these names, in this order, each copied out by the caller before `allocator`'s session
/// goes. Names that the network does not have are an error of ONNX Runtime's.
pub(super) fn run(
    session: &SharedSessionInner,
    allocator: &Allocator,
    options: &RunOptions,
    inputs: &[(&str, SessionInputValue<'_>)],
    outputs: &[&str],
) -> Result<Vec<DynValue>, Error> {
    let names = |names: &mut dyn Iterator<Item = &str>| -> Result<Vec<CString>, Error> {
        let name =
            |name| CString::new(name).map_err(|_| Error::new("a name has a zero byte in it"));
        names.map(name).collect()
    };
    let input_names = names(&mut inputs.iter().map(|(name, _)| *name))?;
    let output_names = names(&mut outputs.iter().copied())?;
    let input_names: Vec<_> = input_names.iter().map(|name| name.as_ptr()).collect();
    let output_names: Vec<_> = output_names.iter().map(|name| name.as_ptr()).collect();
    let values: Vec<_> = inputs.iter().map(|(_, value)| value.ptr()).collect();
    let mut answers = vec![ptr::null_mut(); outputs.len()];
    #[expect(unsafe_code, reason = "`ort` has no call that several threads may make at once")]
    // SAFETY: the session, the options and the inputs are borrowed for as long as this takes; names end with
    // a zero byte and live until it returns; the lists are as long as is said, and `answers` takes as many
    // pointers as names are given. `Run` changes the session only behind ONNX Runtime's own locks.
    unsafe {
        Error::result_from_status((ort::api().Run)(
            session.ptr().cast_mut(),
            options.ptr(),
            input_names.as_ptr(),
            values.as_ptr(),
            values.len(),
            output_names.as_ptr(),
            output_names.len(),
            answers.as_mut_ptr(),
        ))?;
    }
    let value = |answer| {
        let answer = NonNull::new(answer).ok_or_else(|| Error::new("a run left an output out"))?;
        #[expect(unsafe_code, reason = "what the call above returns is a raw pointer")]
        // SAFETY: a run that succeeds gives each output to its caller, and it is not kept anywhere else;
        // its memory is of this allocator.
        Ok(unsafe { DynValue::from_ptr(answer, Some(allocator)) })
    };
    // All at once, so that an early return frees what was given.
    let values: Vec<Result<DynValue, Error>> = answers.into_iter().map(value).collect();
    values.into_iter().collect()
}

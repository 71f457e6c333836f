//! Which GPUs there are, as NVIDIA's driver tells. The driver's library is loaded at run time, so a
//! machine without one only answers that it has none.

use std::fmt;
use std::panic::catch_unwind;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

/// A GPU that the driver shows to this process (`CUDA_VISIBLE_DEVICES` applies).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// The N of `cuda:N`.
    pub number: u16,
    pub name: String,
    /// Bytes.
    pub total_memory: usize,
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} MiB", self.name, self.total_memory >> 20)
    }
}

/// All GPUs, at least one.
///
/// # Errors
/// Why there is none, in words that follow "no GPU:".
pub fn gpus() -> Result<Vec<Gpu>, String> {
    // Everything else in cudarc panics where the library is missing, so this comes first.
    // SAFETY: loads the library by its well-known name and asks nothing of it.
    #[allow(unsafe_code)]
    let present = unsafe { sys::is_culib_present() };
    if !present {
        return Err(
            "NVIDIA's driver (libcuda.so.1) is not installed; CUDA 13 wants version 580 or \
                    newer"
                .to_owned(),
        );
    }
    // cudarc panics, with a line of its own, where a library of that name lacks a function.
    let found = catch_unwind(|| list().map_err(|error| format!("NVIDIA's driver says {error:?}")))
        .map_err(|_| "NVIDIA's driver (libcuda.so.1) is damaged or too old".to_owned())??;
    if found.is_empty() {
        return Err("NVIDIA's driver shows none to this process".to_owned());
    }
    Ok(found)
}

fn list() -> Result<Vec<Gpu>, DriverError> {
    result::init()?;
    let mut found = Vec::new();
    for ordinal in 0..result::device::get_count()? {
        let device = result::device::get(ordinal)?;
        // SAFETY: the device comes from the driver, just now.
        #[allow(unsafe_code)]
        let total_memory = unsafe { result::device::total_mem(device) }?;
        let name = result::device::get_name(device)?;
        let number = u16::try_from(ordinal).unwrap_or(u16::MAX);
        found.push(Gpu { number, name, total_memory });
    }
    Ok(found)
}

/// Bytes in use by all processes and bytes in all, of the GPU of this number in [`gpus`]; `None` if the
/// driver does not tell. This makes the GPU's context (a few hundred MiB of its memory) if nothing has
/// done so yet.
#[must_use]
pub fn memory(number: u16) -> Option<(usize, usize)> {
    let device = result::device::get(number.into()).ok()?;
    // SAFETY: the device exists. The context is kept only for the one question, and what was
    // current on this thread before is current again afterwards.
    #[allow(unsafe_code)]
    unsafe {
        let before = result::ctx::get_current().ok()?;
        let context = result::primary_ctx::retain(device).ok()?;
        let told = result::ctx::set_current(context).and_then(|()| result::mem_get_info());
        let _ = result::ctx::set_current(before.unwrap_or(std::ptr::null_mut()));
        let _ = result::primary_ctx::release(device);
        told.ok().map(|(free, total)| (total.saturating_sub(free), total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds on every machine: asking never panics, and an answer has a GPU or a reason.
    #[test]
    fn asking_is_safe_with_and_without_a_driver() {
        match gpus() {
            Ok(found) => {
                assert_eq!(found[0].number, 0);
                assert!(found.iter().all(|gpu| gpu.total_memory > 0 && !gpu.name.is_empty()));
                assert!(memory(0).is_some_and(|(used, total)| used <= total));
            }
            Err(reason) => assert!(reason.contains("NVIDIA's driver"), "{reason}"),
        }
    }
}

//! The working memory that a session keeps between its runs.

use std::ffi::CStr;
use std::ptr;

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::{AsPointer as _, Error};

/// Main memory.
pub(super) fn main_memory() -> Result<MemoryInfo<'static>, Error> {
    MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::Default)
}

/// Bytes that a session's arena has from the system, used or not. `None` where it does not tell.
pub(super) fn allocated(session: &Session) -> Option<usize> {
    let allocator = Allocator::new(session, main_memory().ok()?).ok()?;
    let (api, mut stats) = (ort::api(), ptr::null_mut());
    #[expect(unsafe_code, reason = "`ort` does not tell what an arena holds")]
    // SAFETY: the allocator is borrowed; what is given is freed once, after it was read; a value ends with
    // a zero byte and lives as long as the list that it is in.
    unsafe {
        Error::result_from_status((api.AllocatorGetStats)(allocator.ptr(), &raw mut stats)).ok()?;
        let value = (api.GetKeyValue)(stats, c"TotalAllocated".as_ptr());
        let bytes = (!value.is_null()).then(|| CStr::from_ptr(value).to_str().ok()?.parse().ok());
        (api.ReleaseKeyValuePairs)(stats);
        bytes.flatten()
    }
}

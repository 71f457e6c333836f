//! How much memory the process has, and what it gives back.

/// Resident memory of this process in bytes; `None` where `/proc` does not tell.
#[must_use]
pub fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

/// Gives memory that was freed back to the system, which glibc's allocator otherwise keeps: a model that
/// was unloaded would go on to count as resident.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "the C library has no safe call for it")]
    // SAFETY: it takes the allocator's own locks and touches only memory that nobody holds.
    unsafe {
        libc::malloc_trim(0);
    }
}

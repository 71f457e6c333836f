//! How much memory the process has, and what it gives back.

/// Resident memory of this process in bytes; `None` where `/proc` does not tell.
#[must_use]
pub fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    kibibytes(&status, "VmRSS:")
}

/// Memory in bytes that this process could still take: what the system has free, and no more than the
/// cgroup's limit leaves. `None` where the system does not tell.
#[must_use]
pub fn available() -> Option<usize> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let of_system = kibibytes(&info, "MemAvailable:")?;
    let of_cgroup = |file: &str| -> Option<usize> {
        // "max" is no limit.
        std::fs::read_to_string(format!("/sys/fs/cgroup/memory.{file}")).ok()?.trim().parse().ok()
    };
    let left = of_cgroup("max").zip(of_cgroup("current"));
    let left = left.map(|(limit, taken)| limit.saturating_sub(taken));
    Some(left.map_or(of_system, |left| left.min(of_system)))
}

/// The value of a line such as `VmRSS:  1234 kB`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
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

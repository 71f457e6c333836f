//! Processor time of a process.

use std::time::Duration;

use procfs::process::Process;

/// What all threads of the process have had so far, in steps of the kernel's tick (10 ms); `None` if
/// it is gone.
#[must_use]
pub fn spent(process: u32) -> Option<Duration> {
    let stat = Process::new(process.try_into().ok()?).and_then(|process| process.stat()).ok()?;
    let ticks = stat.utime + stat.stime;
    Some(Duration::from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64))
}

/// Processor time over a while: of a server, and of this process.
#[derive(Debug, Clone, Copy)]
pub struct Meter {
    process: Option<u32>,
    server: Option<Duration>,
    own: Option<Duration>,
}

impl Meter {
    #[must_use]
    pub fn start(process: Option<u32>) -> Self {
        Self { process, server: process.and_then(spent), own: spent(std::process::id()) }
    }

    /// Of the server, if its process is known, and of this process, since the start.
    #[must_use]
    pub fn stop(self) -> (Option<Duration>, Duration) {
        let since = |process: Option<u32>, before: Option<Duration>| {
            Some(process.and_then(spent)?.saturating_sub(before?))
        };
        let own = since(Some(std::process::id()), self.own).unwrap_or_default();
        (since(self.process, self.server), own)
    }
}

//! The server as a process of its own, and which core a process is on.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::support::root;

/// `onnxd serve` with the model iris alone; killed when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    _models: tempfile::TempDir,
}

impl Process {
    /// On this core, or on all.
    pub fn start(core: Option<usize>) -> Self {
        let models = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(root().join("models/iris"), models.path().join("iris")).unwrap();
        // This process is on one core, which a child would inherit.
        let cores = core.map_or("0-1023".to_owned(), |core| core.to_string());
        let mut command = Command::new("taskset");
        command.args(["-c", &cores, env!("CARGO_BIN_EXE_onnxd")]);
        let mut child = command
            .args(["serve", "--device", "cpu", "--listen", "127.0.0.1:0", "--models"])
            .arg(models.path())
            .env("ONNXD_ADMIN__LISTEN", "")
            .env("ONNXD_LOG__FILTER", "warn")
            .current_dir(root())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        Self { child, address: address.parse().unwrap(), _models: models }
    }

    /// Processor time of all its threads so far.
    pub fn cpu(&self) -> Duration {
        cpu(&self.child.id().to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Processor time of all threads of this process so far.
pub fn own_cpu() -> Duration {
    cpu("self")
}

fn cpu(process: &str) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let nanoseconds = |task: std::io::Result<fs::DirEntry>| {
        let statistics = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        statistics.split(' ').next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(tasks.filter_map(nanoseconds).sum())
}

/// Puts all threads of a process on one core.
pub fn pin(process: u32, core: usize) {
    let arguments = ["-a", "-c", "-p", &core.to_string(), &process.to_string()];
    let done = Command::new("taskset").args(arguments).stdout(Stdio::null()).status().unwrap();
    assert!(done.success(), "taskset");
}

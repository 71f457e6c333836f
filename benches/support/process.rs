//! A server that runs as a process of its own.

use std::collections::HashSet;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::{Client, root};

/// A server, and the processes that it has started. Ended when dropped.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// Removed after it has ended.
    folder: Option<TempDir>,
}

impl Server {
    /// Starts the command that `command` makes for an address, and waits until somebody listens there.
    pub fn start(command: impl FnOnce(SocketAddr) -> Command) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut child = command(address).stdout(Stdio::null()).spawn().unwrap();
        while TcpStream::connect(address).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "{address}: the server has ended");
            thread::sleep(Duration::from_millis(20));
        }
        Self { child, address, folder: None }
    }

    /// `onnxd serve` with these models, which are removed after it has ended. `program` ends in the
    /// binary, such as `taskset -c 0 onnxd`.
    pub fn onnxd(mut program: Command, models: TempDir) -> Self {
        let mut server = Self::start(|address| {
            let address = address.to_string();
            program.args(["serve", "--device", "cpu", "--listen", &address, "--models"]);
            program.arg(models.path()).current_dir(root());
            program.env("ONNXD_ADMIN__LISTEN", "").env("ONNXD_LOG__FILTER", "warn");
            program
        });
        server.folder = Some(models);
        server
    }

    /// A client that was answered, once there is an answer.
    pub fn answered(&self, request: &[u8]) -> Client {
        let mut client = Client::connect(self.address);
        while client.ask(request) != 200 {
            thread::sleep(Duration::from_millis(100));
            client = Client::connect(self.address);
        }
        client
    }

    /// Of the threads of the process and of those that it has started, as far as they still run.
    pub fn cpu_seconds(&self) -> f64 {
        let all = processes();
        let mut ours = HashSet::from([self.child.id()]);
        loop {
            let before = ours.len();
            let children = all.iter().filter(|(_, parent)| ours.contains(parent));
            let children: Vec<u32> = children.map(|(id, _)| *id).collect();
            ours.extend(children);
            if ours.len() == before {
                break;
            }
        }
        ours.iter().map(|id| cpu_seconds(&id.to_string())).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A process that was killed could not end those that it has started.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// Of the threads of this process.
pub fn own_cpu_seconds() -> f64 {
    cpu_seconds("self")
}

/// 0 for a process that has ended.
fn cpu_seconds(process: &str) -> f64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return 0.0 };
    let nanoseconds = |task: std::io::Result<fs::DirEntry>| {
        let statistics = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        statistics.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.filter_map(nanoseconds).sum::<u64>() as f64 / 1e9
}

/// Every process with its parent.
fn processes() -> Vec<(u32, u32)> {
    let parent = |entry: fs::DirEntry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // From the state on; the name before it may hold anything.
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        Some((id, parent))
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(parent).collect()
}

/// Puts all threads of this process on one core.
pub fn pin(core: usize) {
    let process = std::process::id().to_string();
    let mut command = Command::new("taskset");
    command.args(["-a", "-c", "-p", &core.to_string(), &process]).stdout(Stdio::null());
    assert!(command.status().unwrap().success(), "taskset");
}

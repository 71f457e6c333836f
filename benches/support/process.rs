//! A server that runs as a process of its own.

use std::collections::HashSet;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// `_SC_CLK_TCK` of every Linux that there is.
const TICKS_A_SECOND: f64 = 100.0;

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

    /// Keeps a folder as long as the server runs.
    pub fn keeping(mut self, folder: TempDir) -> Self {
        self.folder = Some(folder);
        self
    }

    /// Of the process and those that it has started.
    pub fn cpu_seconds(&self) -> f64 {
        let all = processes();
        let mut ours = HashSet::from([self.child.id()]);
        loop {
            let before = ours.len();
            ours.extend(
                all.iter()
                    .filter(|one| ours.contains(&one.parent))
                    .map(|one| one.id)
                    .collect::<Vec<_>>(),
            );
            if ours.len() == before {
                break;
            }
        }
        all.iter().filter(|one| ours.contains(&one.id)).map(|one| one.seconds).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A process that was killed could not end those that it has started.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// Of this process.
pub fn own_cpu_seconds() -> f64 {
    stat("self").map_or(0.0, |own| own.seconds)
}

struct Stat {
    id: u32,
    parent: u32,
    seconds: f64,
}

fn processes() -> Vec<Stat> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| stat(entry.file_name().to_str()?)).collect()
}

/// `None` for what is no process, or is one no more.
fn stat(id: &str) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (id, rest) = text.split_once(" (")?;
    // From the state on; the name before it may hold anything.
    let fields: Vec<&str> = rest.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    Some(Stat {
        id: id.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        seconds: (ticks(11)? + ticks(12)?) / TICKS_A_SECOND,
    })
}

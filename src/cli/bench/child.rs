//! The server that is measured: `onnxd serve` as a process of its own.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, bail};

use crate::cli::Common;
use crate::load::target::Server;

/// Lines of the server's log that are shown if it does not start.
const LINES: usize = 20;

/// Killed when dropped.
pub struct Served {
    child: Child,
    pub server: Server,
}

impl Served {
    /// Starts this binary's `serve` with one model, on a free port of loopback, by the same
    /// configuration but for TLS, keys and the admin port. Returns when it is ready.
    ///
    /// # Errors
    /// It does not start; with its log's last lines.
    pub fn start(common: &Common, model: &str) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("where this binary lies")?);
        command.arg("serve").args(["--listen", "127.0.0.1:0"]).args(common.arguments());
        command.envs([
            ("ONNXD_ADMIN__LISTEN", ""),
            ("ONNXD_TLS__CERTIFICATE", ""),
            ("ONNXD_TLS__KEY", ""),
            ("ONNXD_SERVER__API_KEYS_FILE", ""),
            ("ONNXD_MODELS__CONTROL", "explicit"),
        ]);
        command.env("ONNXD_MODELS__LOAD", format!("[{model:?}]"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C is this process's, which then kills the server.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().context("cannot start onnxd serve")?;
        let log = Arc::new(Mutex::new(VecDeque::new()));
        // Its log is read all along, so that it never waits for a reader.
        let reader = child.stderr.take().map(|stderr| {
            let log = log.clone();
            thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    if log.len() == LINES {
                        log.pop_front();
                    }
                    log.push_back(line);
                }
            })
        });
        let stdout = child.stdout.take().map(BufReader::new);
        // From here on it is killed in any case.
        let unknown = Server { address: ([127, 0, 0, 1], 0).into(), host: String::new() };
        let mut served = Self { child, server: unknown };
        let mut lines = stdout.into_iter().flat_map(BufRead::lines).map_while(Result::ok);
        let url = lines.find_map(|line| {
            let rest = line.strip_prefix("onnxd serves ")?;
            rest.split_once(" with ").map(|(url, _)| url.to_owned())
        });
        let Some(url) = url else {
            let _ = served.child.kill();
            let _ = served.child.wait();
            let _ = reader.map(thread::JoinHandle::join);
            let log = log.lock().unwrap_or_else(PoisonError::into_inner);
            let log: Vec<&str> = log.iter().map(String::as_str).collect();
            bail!("onnxd serve does not start:\n{}", log.join("\n"));
        };
        served.server = Server::of_url(&url)?.0;
        Ok(served)
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

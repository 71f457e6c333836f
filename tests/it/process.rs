//! `onnxd serve` as a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};

use crate::support::onnxd;

/// A running one; killed when dropped.
pub struct Process {
    pub child: Child,
    pub log: BufReader<ChildStderr>,
    pub data: String,
    admin: String,
}

impl Process {
    /// Starts it on free ports and waits until it serves.
    pub fn start(models: &str, keys: &[(&str, &str)]) -> Self {
        let mut command = onnxd(&["serve", "--listen", "127.0.0.1:0", "--models", models]);
        command.env("ONNXD_ADMIN__LISTEN", "127.0.0.1:0").envs(keys.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let admin = address(&line_with(&mut log, "health and metrics at "));
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let data = address(&line_with(&mut out, "onnxd serves "));
        Self { child, log, data, admin }
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = std::process::Command::new("kill").args(["-s", name, &id]).status().unwrap();
        assert!(sent.success());
    }

    pub fn health(&self, path: &str) -> Option<i32> {
        let url = format!("http://{}{path}", self.admin);
        onnxd(&["health", "--url", &url]).stderr(Stdio::null()).status().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn line_with(lines: &mut impl BufRead, wanted: &str) -> String {
    let mut line = String::new();
    while !line.contains(wanted) {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "no line with `{wanted}`");
    }
    line
}

/// The first address of a URL in the line.
fn address(line: &str) -> String {
    let rest = line.split_once("http://").unwrap().1;
    rest.split_whitespace().next().unwrap().to_owned()
}

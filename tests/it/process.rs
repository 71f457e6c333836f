//! `onnxd serve` as a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use crate::support::{Folder, onnxd};

/// A running one; killed when dropped.
pub struct Process {
    pub child: Child,
    /// Its log, as long as somebody reads it.
    pub log: Option<BufReader<ChildStderr>>,
    pub data: String,
    admin: Option<String>,
    /// Removed when it has ended.
    models: Option<Folder>,
}

impl Process {
    /// Starts it on free ports with this folder and these variables, and waits until it serves.
    pub fn start(models: &str, environment: &[(&str, &str)]) -> Self {
        let mut process = Self::spawn(models, "127.0.0.1:0", environment);
        let log = process.log.as_mut().unwrap();
        process.admin = Some(address(&line_with(log, "health and metrics at ")));
        process.wait();
        process
    }

    /// With one small model, without an admin port; its log is left unread.
    pub fn alone(environment: &[(&str, &str)]) -> Self {
        let models = Folder::new();
        models.copy("models/iris/model.onnx", "iris/model.onnx");
        let mut process = Self::spawn(models.path().to_str().unwrap(), "", environment);
        process.models = Some(models);
        process.wait();
        process
    }

    fn spawn(models: &str, admin: &str, environment: &[(&str, &str)]) -> Self {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--device", "cpu", "--models", models];
        let mut command = onnxd(&arguments);
        command.env("ONNXD_ADMIN__LISTEN", admin).envs(environment.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let log = child.stderr.take().map(BufReader::new);
        Self { child, log, data: String::new(), admin: None, models: None }
    }

    fn wait(&mut self) {
        let mut out = BufReader::new(self.child.stdout.take().unwrap());
        self.data = address(&line_with(&mut out, "onnxd serves "));
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().unwrap();
        assert!(sent.success());
    }

    pub fn health(&self, path: &str) -> Option<i32> {
        let url = format!("http://{}{path}", self.admin.as_ref().unwrap());
        onnxd(&["health", "--url", &url]).stderr(Stdio::null()).status().unwrap().code()
    }

    /// Sends a request that is written out but for what every one needs; the answer's status.
    pub fn ask(&self, line: &str, headers: &str, body: &str) -> u16 {
        let mut stream = TcpStream::connect(&self.data).unwrap();
        let length = body.len();
        write!(
            stream,
            "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\
             content-type: application/json\r\n{headers}\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Nobody reads the log from now on.
    pub fn close_log(&mut self) {
        self.log = None;
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().unwrap()
    }

    /// Stops it; what it has logged.
    pub fn log(mut self) -> String {
        assert!(self.stop().success());
        self.log_after_end()
    }

    /// What it has logged, once it is stopped.
    pub fn log_after_end(&mut self) -> String {
        let mut log = String::new();
        self.log.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.models.take());
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
    rest.split([' ', '"', '\n']).next().unwrap().to_owned()
}

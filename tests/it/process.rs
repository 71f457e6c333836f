//! `onnxd serve` as a process of its own, with one small model.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};

use crate::support::{Folder, root};

pub struct Process {
    child: Child,
    pub address: SocketAddr,
    _models: Folder,
}

impl Process {
    /// Started with these variables, and ready.
    pub fn start(environment: &[(&str, &str)]) -> Self {
        let models = Folder::new();
        models.copy("models/iris/model.onnx", "iris/model.onnx");
        let mut child = Command::new(env!("CARGO_BIN_EXE_onnxd"))
            .current_dir(root())
            .args(["serve", "--listen", "127.0.0.1:0", "--device", "cpu", "--models"])
            .arg(models.path())
            .env_remove("RUST_LOG")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).unwrap().split(' ').next().unwrap();
        let address = address.parse().unwrap();
        Self { child, address, _models: models }
    }

    /// Sends a request that is written out but for what every one needs; the answer's status.
    pub fn ask(&self, line: &str, headers: &str, body: &str) -> u16 {
        let mut stream = TcpStream::connect(self.address).unwrap();
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
        drop(self.child.stderr.take());
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
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
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

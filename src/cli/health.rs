//! `onnxd health`: asks a running onnxd whether it is ready. For a container's health check, which
//! has no curl.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;

use super::ExitCode;
use crate::config::{Flags, ServerConfig};

/// For everything: connecting, asking, reading.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of an answer.
const LONGEST: u64 = 64 * 1024;

/// Ask a running onnxd whether it is ready; exit status 0 if it is, else 1.
#[derive(Args)]
pub struct Health {
    /// Configuration file of the running onnxd; its admin.listen is asked.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask this instead.
    #[arg(long, value_name = "http://HOST:PORT/PATH")]
    url: Option<String>,
}

pub fn run(command: Health) -> anyhow::Result<ExitCode> {
    let url = match command.url {
        Some(url) => url,
        None => {
            let config = ServerConfig::load(command.config.as_deref(), &Flags::default())?;
            let listen = config.admin.listen.context("admin.listen is empty: nothing to ask")?;
            format!("http://{}/health/ready", reachable(listen))
        }
    };
    match ask(&url) {
        Ok((200, _)) => Ok(ExitCode::SUCCESS),
        Ok((status, body)) => {
            eprintln!("onnxd: {url} answers {status}: {}", body.trim());
            Ok(ExitCode::FAILURE)
        }
        Err(error) => {
            eprintln!("onnxd: {url}: {error:#}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Listening on all addresses is no address to connect to.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Status and body of a GET.
fn ask(url: &str) -> anyhow::Result<(u16, String)> {
    let end = Instant::now() + TIMEOUT;
    let left = || {
        let left = end.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "no answer within {TIMEOUT:?}");
        Ok(left)
    };
    let rest = url.strip_prefix("http://").context("expected http://HOST:PORT/PATH")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let named = if has_port { host.to_owned() } else { format!("{host}:80") };
    let address = named.to_socket_addrs()?.next().context("no such host")?;

    let mut stream = TcpStream::connect_timeout(&address, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    loop {
        stream.set_read_timeout(Some(left()?))?;
        let mut part = [0; 4096];
        match stream.read(&mut part)? {
            0 => break,
            length => answer.extend_from_slice(&part[..length]),
        }
        ensure!(answer.len() as u64 <= LONGEST, "an answer of more than {LONGEST} bytes");
    }
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer of HTTP")?;
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    Ok((status.context("no answer of HTTP/1.1")?, body.to_owned()))
}

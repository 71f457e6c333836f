//! What is asked: a server's address, a path, and the bodies that go there.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;

use super::payload::Payload;

/// One path of a server.
#[derive(Debug)]
pub struct Target {
    pub address: SocketAddr,
    /// The server's process, where it is known and on this machine.
    pub process: Option<u32>,
    host: HeaderValue,
    path: Uri,
    /// Taken by turns; none: the path is got.
    payloads: Vec<Payload>,
    /// Of the next request.
    number: AtomicU64,
}

impl Target {
    /// # Errors
    /// An address or a path that is none.
    pub fn new(
        server: &Server,
        path: &str,
        payloads: Vec<Payload>,
        process: Option<u32>,
    ) -> anyhow::Result<Self> {
        let uri = path.parse::<Uri>().ok().filter(|_| path.starts_with('/'));
        Ok(Self {
            address: server.address,
            process,
            host: server.host.parse().with_context(|| format!("no host: {}", server.host))?,
            path: uri.with_context(|| format!("no path: {path}: expected /PATH"))?,
            payloads,
            number: AtomicU64::new(0),
        })
    }

    /// The next request.
    pub(super) fn request(&self) -> Request<Full<Bytes>> {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let mut request = Request::new(Full::default());
        *request.uri_mut() = self.path.clone();
        request.headers_mut().insert(header::HOST, self.host.clone());
        if !self.payloads.is_empty() {
            let payload = &self.payloads[(number % self.payloads.len() as u64) as usize];
            *request.method_mut() = Method::POST;
            request.headers_mut().extend(payload.headers.iter().cloned());
            *request.body_mut() = Full::new(payload.body(number / self.payloads.len() as u64));
        }
        request
    }
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub address: SocketAddr,
    /// As it is called.
    pub host: String,
}

impl Server {
    /// Reads `http://HOST:PORT`; the path behind it, if there is one.
    ///
    /// # Errors
    /// Another scheme, no such host.
    pub fn of_url(url: &str) -> anyhow::Result<(Self, Option<String>)> {
        let rest = url.strip_prefix("http://");
        let rest = rest.with_context(|| format!("{url}: expected http://HOST:PORT"))?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        ensure!(!host.is_empty(), "{url}: expected http://HOST:PORT");
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let named = if has_port { host.to_owned() } else { format!("{host}:80") };
        let mut addresses = named.to_socket_addrs().with_context(|| format!("{url}: {host}"))?;
        let address = addresses.next().with_context(|| format!("{url}: no such host"))?;
        let path = Some(path).filter(|path| path.len() > 1).map(str::to_owned);
        Ok((Self { address, host: host.to_owned() }, path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_others_refused() {
        let (server, path) = Server::of_url("http://127.0.0.1:9000/v1/ask?x=1").unwrap();
        assert_eq!(server.address.to_string(), "127.0.0.1:9000");
        assert_eq!(path.as_deref(), Some("/v1/ask?x=1"));
        assert_eq!(Server::of_url("http://127.0.0.1/").unwrap().0.address.port(), 80);
        for url in ["https://127.0.0.1:1", "127.0.0.1:1", "http://", "http:///x"] {
            let error = Server::of_url(url).unwrap_err().to_string();
            assert!(error.contains("expected http://HOST:PORT"), "{url}: {error}");
        }
    }
}

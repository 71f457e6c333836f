//! A connection to a server, which stays open.

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::target::Target;

/// Bytes of an answer that are shown.
const EXCERPT: usize = 300;

pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
}

/// What is wrong with an answer.
pub type Failure = String;

impl Connection {
    /// # Errors
    /// Nobody listens there.
    pub async fn open(target: &Target) -> anyhow::Result<Self> {
        let to = || format!("no connection to {}", target.address);
        let stream = TcpStream::connect(target.address).await.with_context(to)?;
        stream.set_nodelay(true).with_context(to)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.with_context(to)?;
        // Its errors reach the sender.
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Asks once and reads the whole answer.
    ///
    /// # Errors
    /// Any status but 200, with the beginning of the answer.
    pub async fn ask(&mut self, target: &Target) -> Result<(), Failure> {
        let broken = |error: hyper::Error| format!("the connection broke: {error}");
        self.sender.ready().await.map_err(broken)?;
        let answer = self.sender.send_request(target.request()).await.map_err(broken)?;
        let status = answer.status();
        if status == http::StatusCode::OK {
            return drain(answer.into_body()).await.map_err(broken);
        }
        let body = answer.into_body().collect().await.map_err(broken)?.to_bytes();
        let body = String::from_utf8_lossy(&body[..body.len().min(EXCERPT)]).into_owned();
        Err(format!("{}: {body}", status.as_u16()))
    }

    /// Whether it can be asked again.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }
}

async fn drain(mut body: Incoming) -> hyper::Result<()> {
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(())
}

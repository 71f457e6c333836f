//! Accepts connections, within bounds.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::activity::Timeouts;
use super::connection;
use super::drain::Drain;
use super::lookout::Lookout;
use super::tls::Certificate;
use crate::api::link::Link;
use crate::api::peers::Bounds;
use crate::api::stats::{Closed, EdgeStats};
use crate::config::Server;

/// Streams that one connection of HTTP/2 may have open at once.
const MAX_STREAMS: u32 = 128;
/// Streams that a client may reset before the server has looked at them.
const MAX_PENDING_RESETS: usize = 20;
/// Bytes of bodies that may have come on a connection of HTTP/2 and not been read.
const WINDOW: u32 = 256 << 10;
/// Bytes that hyper reads or keeps unsent at once. A head must fit in.
const BUFFER: usize = 128 << 10;
/// How long a failure to accept, for example for want of file descriptors, is waited out.
const BACK_OFF: Duration = Duration::from_millis(200);

/// What the connections of one port share.
pub struct Port {
    pub router: Router,
    pub bounds: Arc<Bounds>,
    pub max_header_size: usize,
    pub timeouts: Timeouts,
    pub http1: http1::Builder,
    pub http2: http2::Builder<TokioExecutor>,
    pub certificate: Option<Arc<Certificate>>,
    pub drain: Drain,
    pub lookout: Arc<Lookout>,
    pub stats: EdgeStats,
    pub connections: TaskTracker,
}

impl Port {
    pub fn new(router: Router, server: &Server, bounds: Arc<Bounds>, stats: EdgeStats) -> Self {
        let max_header_size = server.max_header_size;
        let mut http1 = http1::Builder::new();
        http1.max_header_size(max_header_size).header_read_timeout(None);
        http1.max_buf_size(BUFFER.max(max_header_size.saturating_mul(2)));
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        let header_list = u32::try_from(max_header_size).unwrap_or(u32::MAX);
        http2
            .timer(TokioTimer::new())
            // A stream may be silent for long: a client that is gone is told from it by a ping.
            .keep_alive_interval(Some(server.keep_alive_timeout))
            .max_concurrent_streams(MAX_STREAMS)
            .initial_connection_window_size(WINDOW)
            .initial_stream_window_size(WINDOW)
            .max_send_buf_size(BUFFER)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_header_list_size(header_list);
        Self {
            router,
            bounds,
            max_header_size,
            timeouts: Timeouts {
                first_byte: server.first_byte_timeout,
                header: server.header_timeout,
                keep_alive: server.keep_alive_timeout,
            },
            http1,
            http2,
            certificate: None,
            drain: Drain::default(),
            lookout: Arc::default(),
            stats,
            connections: TaskTracker::new(),
        }
    }

    fn open(self: &Arc<Self>, stream: TcpStream, address: SocketAddr) {
        self.stats.opens();
        let link = match Link::open(&self.bounds, address.ip()) {
            Ok(link) => link,
            // Said at once, so that the client can ask elsewhere.
            Err(closed) => return self.stats.closes(closed),
        };
        let port = self.clone();
        self.connections.spawn(async move {
            let closed = tokio::select! {
                closed = connection::serve(stream, link.clone(), port.clone()) => closed,
                closed = link.closing() => closed,
                () = port.drain.aborting.cancelled() => Closed::Aborted,
            };
            port.stats.closes(closed);
        });
    }
}

/// Accepts until the port stops, and what the kernel has accepted by then.
pub async fn accept(listener: TcpListener, port: Arc<Port>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = port.drain.stopping.cancelled() => break,
        };
        match accepted {
            Ok((stream, address)) => port.open(stream, address),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                port.stats.accept_fails();
                tracing::warn!(%error, "cannot accept connections");
                tokio::select! {
                    () = tokio::time::sleep(BACK_OFF) => {}
                    () = port.drain.stopping.cancelled() => break,
                }
            }
        }
    }
    while let Some(Ok((stream, address))) = listener.accept().now_or_never() {
        port.open(stream, address);
    }
}

/// The client left before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

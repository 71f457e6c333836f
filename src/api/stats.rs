//! Counters of the data port's connections.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// After an answer, as the client or the protocol wished.
    Finished,
    /// The client left in the middle of a request, or broke the protocol.
    Broken,
    /// More than `max_connections`.
    MaxConnections,
    /// No TLS, or none that both sides speak.
    TlsHandshake,
    /// No first byte in time, or no handshake.
    FirstByteTimeout,
    /// No whole head in time.
    HeaderTimeout,
    /// No request in work for long, or an answer that is not read.
    KeepAliveTimeout,
    /// The server stops.
    Drained,
    /// The server stops and could wait no longer.
    Aborted,
}

impl Closed {
    pub const ALL: [Self; 9] = [
        Self::Finished,
        Self::Broken,
        Self::MaxConnections,
        Self::TlsHandshake,
        Self::FirstByteTimeout,
        Self::HeaderTimeout,
        Self::KeepAliveTimeout,
        Self::Drained,
        Self::Aborted,
    ];

    /// The value of the label `reason`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Broken => "broken",
            Self::MaxConnections => "max_connections",
            Self::TlsHandshake => "tls_handshake",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::HeaderTimeout => "header_timeout",
            Self::KeepAliveTimeout => "keep_alive_timeout",
            Self::Drained => "drained",
            Self::Aborted => "aborted",
        }
    }
}

/// What the accept loop and the connections count.
#[derive(Debug, Default)]
pub struct EdgeStats {
    open: AtomicU64,
    accept_errors: AtomicU64,
    closed: [AtomicU64; Closed::ALL.len()],
}

impl EdgeStats {
    /// Connections that are open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Failures to accept, for example for want of file descriptors.
    #[must_use]
    pub fn accept_errors(&self) -> u64 {
        self.accept_errors.load(Ordering::Relaxed)
    }

    /// Connections that ended for this reason.
    #[must_use]
    pub fn closed(&self, reason: Closed) -> u64 {
        self.closed[reason as usize].load(Ordering::Relaxed)
    }

    pub fn opens(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    pub fn closes(&self, reason: Closed) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.closed[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn accept_fails(&self) {
        self.accept_errors.fetch_add(1, Ordering::Relaxed);
    }
}

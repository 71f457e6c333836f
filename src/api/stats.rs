//! Counters of a port's connections.

use prometheus::{IntCounter, IntGauge};

use crate::metrics::Metrics;

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
    /// No request in work for long.
    KeepAliveTimeout,
    /// Nothing of an answer was read for long, or while others needed the room.
    UnreadAnswers,
    /// A head that breaks the rules of HTTP.
    Malformed,
    /// Nothing had happened on it for longest when there were `max_connections`.
    MadeRoom,
    /// Its client has its share of the connections.
    PeerShare,
    /// The server stops.
    Drained,
    /// The server stops and could wait no longer.
    Aborted,
}

impl Closed {
    pub const ALL: [Self; 13] = [
        Self::Finished,
        Self::Broken,
        Self::MaxConnections,
        Self::TlsHandshake,
        Self::FirstByteTimeout,
        Self::HeaderTimeout,
        Self::KeepAliveTimeout,
        Self::UnreadAnswers,
        Self::Malformed,
        Self::MadeRoom,
        Self::PeerShare,
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
            Self::UnreadAnswers => "unread_answers",
            Self::Malformed => "malformed",
            Self::MadeRoom => "made_room",
            Self::PeerShare => "peer_share",
            Self::Drained => "drained",
            Self::Aborted => "aborted",
        }
    }
}

/// What the accept loop and the connections of a port count.
pub struct EdgeStats {
    open: IntGauge,
    accept_errors: IntCounter,
    closed: [IntCounter; Closed::ALL.len()],
}

impl EdgeStats {
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            open: metrics.connections.clone(),
            accept_errors: metrics.accept_errors.clone(),
            closed: Closed::ALL
                .map(|reason| metrics.connections_closed.with_label_values(&[reason.name()])),
        }
    }

    pub fn opens(&self) {
        self.open.inc();
    }

    pub fn closes(&self, reason: Closed) {
        self.open.dec();
        self.closed[reason as usize].inc();
    }

    pub fn accept_fails(&self) {
        self.accept_errors.inc();
    }
}

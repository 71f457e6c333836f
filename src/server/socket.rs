//! A connection's bytes, plain or through TLS. Tells [`Activity`] of what comes, throws away what
//! nobody reads, and keeps a half-closed connection open for its answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;

use super::activity::Activity;
use super::lookout::Watch;

/// The transport.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub struct Socket {
    stream: Stream,
    /// Read already, to tell the protocol.
    first: Bytes,
    activity: Activity,
    watch: Watch,
    http1: bool,
    half_closed: Option<HalfClosed>,
    /// Not all of an answer could be written yet.
    mid_answer: bool,
    shut: bool,
}

impl Socket {
    pub fn new(
        stream: Stream,
        first: Bytes,
        activity: Activity,
        watch: Watch,
        http1: bool,
    ) -> Self {
        let (half_closed, mid_answer, shut) = (None, false, false);
        Self { stream, first, activity, watch, http1, half_closed, mid_answer, shut }
    }

    /// Asks what the end of the client's bytes means, on plain HTTP/1.
    fn poll_half_closed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (Stream::Plain(stream), true) = (&self.stream, self.http1) else {
            return Poll::Ready(Ok(()));
        };
        let half_closed = self.half_closed.get_or_insert_with(HalfClosed::new);
        half_closed.poll(cx, stream, &self.activity, self.mid_answer)
    }
}

/// A client that sends no more has left, or only closed its half and waits for the answer. The end
/// of its bytes looks the same; only what is sent to it tells: one that left answers by a reset.
/// So an interim answer is sent, which HTTP/1.1 allows at any time before the answer.
struct HalfClosed {
    next: Pin<Box<Sleep>>,
    pause: Duration,
    asked: bool,
}

impl HalfClosed {
    const FIRST_PAUSE: Duration = Duration::from_millis(10);
    const LONGEST_PAUSE: Duration = Duration::from_secs(1);
    const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

    fn new() -> Self {
        let pause = Self::FIRST_PAUSE;
        Self { next: Box::pin(tokio::time::sleep(pause)), pause, asked: false }
    }

    /// Ready when the client is known to have left, or has its answer.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &TcpStream,
        activity: &Activity,
        mid_answer: bool,
    ) -> Poll<io::Result<()>> {
        while activity.is_running() {
            ready!(self.next.as_mut().poll(cx));
            // By now the handler has seen the end of a whole body: without it, the body is cut off.
            let Some(takes_interim) = activity.awaits_answer() else { break };
            if takes_interim && !self.asked && !mid_answer {
                self.asked = true;
                if stream.try_write(Self::INTERIM)? < Self::INTERIM.len() {
                    // A part of it would spoil the answer.
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
            }
            // Reading would only say again that no more comes.
            if let Some(error) = stream.take_error()? {
                return Poll::Ready(Err(error));
            }
            self.next.as_mut().reset(Instant::now() + self.pause);
            self.pause = (self.pause * 2).min(Self::LONGEST_PAUSE);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.first.is_empty() {
            let length = this.first.len().min(buffer.remaining());
            buffer.put_slice(&this.first[..length]);
            this.first.advance(length);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buffer) else {
            if this.http1 {
                // Of HTTP/2 one connection may be many clients.
                this.watch.looks_out(cx);
            }
            return Poll::Pending;
        };
        read?;
        if buffer.filled().len() > before {
            this.watch.moves();
            if this.http1 {
                this.activity.receives();
            }
            return Poll::Ready(Ok(()));
        }
        this.poll_half_closed(cx)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.watch.moves();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.mid_answer = !matches!(written, Poll::Ready(Ok(length)) if length == bytes.len());
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.watch.moves();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        let whole: usize = parts.iter().map(|part| part.len()).sum();
        this.mid_answer = !matches!(written, Poll::Ready(Ok(length)) if length == whole);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    /// Closing a socket with unread bytes resets it, and the client loses the answer that it has not
    /// read yet. So what still comes of an unread body is thrown away, until the driver's deadline.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.shut {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.shut = true;
            this.activity.ends();
        }
        if this.activity.has_unread_body() {
            let mut scratch = [0; 16 * 1024];
            loop {
                let mut buffer = ReadBuf::new(&mut scratch);
                let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer));
                if read.is_err() || buffer.filled().is_empty() {
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

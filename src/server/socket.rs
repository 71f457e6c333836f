//! A connection's bytes, plain or through TLS. Tells [`Activity`] of what comes, throws away what
//! nobody reads, keeps a half-closed connection open for its answer, and sees when a client has left.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::server::TlsStream;

use super::activity::Activity;
use super::framing::{Framing, Wrong};
use super::lookout::Watch;

/// The transport.
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

#[expect(clippy::struct_excessive_bools, reason = "each tells something else")]
pub struct Socket {
    stream: Stream,
    /// Read already, to tell the protocol.
    first: Bytes,
    activity: Activity,
    watch: Watch,
    /// Of HTTP/1.
    framing: Option<Framing>,
    /// A body's framing is wrong: nothing more is taken.
    broken: bool,
    half_closed: Option<HalfClosed>,
    /// The client sends no more, whether its bytes are read to their end or not.
    read_closed: bool,
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
        framing: Option<Framing>,
    ) -> Self {
        Self {
            stream,
            first,
            activity,
            watch,
            framing,
            broken: false,
            half_closed: None,
            read_closed: false,
            mid_answer: false,
            shut: false,
        }
    }

    /// Asks what the end of the client's bytes means, on plain HTTP/1. `read`: all before it is read.
    fn poll_half_closed(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<io::Result<()>> {
        let (Stream::Plain(stream), true) = (&self.stream, self.framing.is_some()) else {
            return Poll::Ready(Ok(()));
        };
        let half_closed = self.half_closed.get_or_insert_with(|| {
            self.activity.may_ask_again();
            HalfClosed::new()
        });
        half_closed.poll(cx, stream, &self.activity, self.mid_answer, read)
    }

    /// Looks whether the client has left while nobody reads, from time to time.
    ///
    /// # Errors
    /// It has.
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.framing.is_some() && self.activity.looks() {
            let both = Interest::READABLE | Interest::WRITABLE;
            let ready = self.stream.tcp().ready(both).now_or_never().transpose()?;
            // A reset, or no way to send it anything.
            if ready.is_some_and(Ready::is_write_closed) {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            self.read_closed |= ready.is_some_and(Ready::is_read_closed);
        }
        match (self.read_closed, &self.stream) {
            (false, _) => Ok(()),
            (true, Stream::Tls(_)) => Err(io::ErrorKind::UnexpectedEof.into()),
            (true, Stream::Plain(_)) => match self.poll_half_closed(cx, false) {
                Poll::Ready(asked) => asked,
                Poll::Pending => Ok(()),
            },
        }
    }

    fn wrote(&mut self, written: &Poll<io::Result<usize>>, whole: usize) {
        self.mid_answer = !matches!(written, Poll::Ready(Ok(length)) if *length == whole);
        if self.half_closed.is_some() {
            self.activity.may_ask_again();
        }
    }

    /// Follows what was read behind `before`, of which what is wrong is not passed on.
    fn follow(&mut self, buffer: &mut ReadBuf<'_>, before: usize) -> io::Result<()> {
        let Some(framing) = &mut self.framing else { return Ok(()) };
        match framing.follow(&buffer.filled()[before..]) {
            Ok(()) => {}
            Err(Wrong::Head(number, fault)) => self.activity.refuses(number, fault),
            Err(Wrong::Body(good)) => {
                self.broken = true;
                buffer.set_filled(before + good);
                if good == 0 {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
        Ok(())
    }
}

/// A client that sends no more has left, or only closed its half and waits for the answer. The end
/// of its bytes looks the same; only what is sent to it tells: one that left answers by a reset.
/// So something is sent that means nothing ([`Activity::probe`]).
struct HalfClosed {
    next: Pin<Box<Sleep>>,
    pause: Duration,
}

impl HalfClosed {
    const FIRST_PAUSE: Duration = Duration::from_millis(10);
    const LONGEST_PAUSE: Duration = Duration::from_millis(500);

    fn new() -> Self {
        let pause = Self::FIRST_PAUSE;
        Self { next: Box::pin(tokio::time::sleep(pause)), pause }
    }

    /// Ready when the client is known to have left, or has its answer.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &TcpStream,
        activity: &Activity,
        mid_answer: bool,
        read: bool,
    ) -> Poll<io::Result<()>> {
        while activity.is_running() {
            ready!(self.next.as_mut().poll(cx));
            // By now the handler has seen the end of a whole body: without it, the body is cut off.
            if read && !activity.is_whole() {
                break;
            }
            let probe = if mid_answer { b"" } else { activity.probe() };
            // A part of it would spoil the answer.
            if !probe.is_empty() && stream.try_write(probe)? < probe.len() {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
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
        let before = buffer.filled().len();
        if this.broken {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if !this.first.is_empty() {
            let length = this.first.len().min(buffer.remaining());
            buffer.put_slice(&this.first[..length]);
            this.first.advance(length);
            return Poll::Ready(this.follow(buffer, before));
        }
        let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buffer) else {
            if this.framing.is_some() {
                // Of HTTP/2 one connection may be many clients.
                this.watch.looks_out(cx);
            }
            return Poll::Pending;
        };
        read?;
        if buffer.filled().len() > before {
            this.watch.moves();
            if this.framing.is_some() {
                this.activity.receives();
            }
            return Poll::Ready(this.follow(buffer, before));
        }
        this.poll_half_closed(cx, true)
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
        this.wrote(&written, bytes.len());
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
        this.wrote(&written, parts.iter().map(|part| part.len()).sum());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper asks for this whenever it is asked itself and has nothing to write.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.look(cx)?;
        Pin::new(&mut this.stream).poll_flush(cx)
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

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        }
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

//! One connection, from its first byte to its last.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::accept::Port;
use super::activity::Activity;
use super::framing::Framing;
use super::service::answer;
use super::socket::{Socket, Stream};
use crate::api::link::Link;
use crate::api::stats::Closed;

/// What a client of HTTP/2 sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long bytes that have been received may take to be seen.
const MOMENT: Duration = Duration::from_millis(50);

/// Bytes that the system keeps for a client and has not sent. More would be memory of a client that reads
/// nothing; what is on its way comes on top.
const UNSENT: u32 = 128 << 10;

/// Serves the connection to its end.
pub async fn serve(stream: TcpStream, link: Arc<Link>, port: Arc<Port>) -> Closed {
    // Answers are small and written at once: waiting for more only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    if let Err(error) = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT) {
        tracing::debug!(%error, "cannot set TCP_NOTSENT_LOWAT");
    }
    let stopping = async {
        port.drain.stopping.cancelled().await;
        // What has come already is served: it shows in a moment.
        tokio::time::sleep(MOMENT).await;
    };
    let opened = tokio::select! {
        opened = open(stream, link, &port) => opened,
        () = stopping => Err(Closed::Drained),
    };
    let (stream, activity, first) = match opened {
        Ok(opened) => opened,
        Err(closed) => return closed,
    };
    let is_http2 = first == PREFACE;
    if is_http2 {
        activity.is_http2();
    }
    let watch = port.lookout.watch();
    let framing = (!is_http2).then(|| Framing::new(port.max_header_size));
    let socket = Socket::new(stream, first, activity.clone(), watch, framing);
    let socket = TokioIo::new(socket);
    let service = {
        let (port, activity) = (port.clone(), activity.clone());
        service_fn(move |request| answer(port.clone(), activity.clone(), request))
    };
    let driver = Driver { port: &port, activity: &activity, http2: is_http2 };
    if is_http2 {
        let connection = pin!(port.http2.serve_connection(socket, service));
        return driver.drive(connection, http2::Connection::graceful_shutdown).await;
    }
    let connection = pin!(port.http1.serve_connection(socket, service));
    let closed = driver.drive(connection, http1::Connection::graceful_shutdown).await;
    if activity.is_malformed() { Closed::Malformed } else { closed }
}

/// Shakes hands and reads as much as tells HTTP/1 from HTTP/2.
async fn open(
    stream: TcpStream,
    link: Arc<Link>,
    port: &Port,
) -> Result<(Stream, Activity, Bytes), Closed> {
    let mut stream = match &port.certificate {
        None => Stream::Plain(stream),
        Some(certificate) => {
            let handshake = certificate.current().accept(stream);
            match tokio::time::timeout(port.timeouts.first_byte, handshake).await {
                Err(_) => return Err(Closed::FirstByteTimeout),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "no TLS handshake");
                    return Err(Closed::TlsHandshake);
                }
                Ok(Ok(stream)) => Stream::Tls(Box::new(stream)),
            }
        }
    };
    let activity = Activity::new(port.timeouts, link);
    let mut first = BytesMut::new();
    while first.len() < PREFACE.len() && PREFACE.starts_with(&first) {
        let missing = PREFACE.len() - first.len();
        let mut part = (&mut stream).take(missing as u64);
        match within(&activity, part.read_buf(&mut first)).await? {
            Ok(0) if first.is_empty() => return Err(Closed::Finished),
            Ok(0) | Err(_) => return Err(Closed::Broken),
            Ok(_) => activity.receives(),
        }
    }
    Ok((stream, activity, first.freeze()))
}

/// Before there is a protocol that could say goodbye.
async fn within(
    activity: &Activity,
    read: impl Future<Output = io::Result<usize>>,
) -> Result<io::Result<usize>, Closed> {
    match activity.deadline() {
        None => Ok(read.await),
        Some((deadline, reason)) => {
            tokio::time::timeout_at(deadline.into(), read).await.map_err(|_| reason)
        }
    }
}

/// Polls a connection and ends it in time.
///
/// hyper's own timer is not used: it counts the time between two requests as that of a head.
struct Driver<'a> {
    port: &'a Port,
    activity: &'a Activity,
    http2: bool,
}

impl Driver<'_> {
    /// `say_goodbye` lets what is in work end, and no more begin.
    async fn drive<C: Future<Output = hyper::Result<()>>>(
        &self,
        mut connection: Pin<&mut C>,
        say_goodbye: impl Fn(Pin<&mut C>),
    ) -> Closed {
        let Self { port, activity, http2 } = *self;
        let mut draining = pin!(port.drain.draining.cancelled());
        let mut stopping = pin!(port.drain.stopping.cancelled());
        let mut armed = Instant::now() + port.timeouts.header;
        let mut alarm = pin!(tokio::time::sleep_until(armed));
        let mut ending: Option<Closed> = None;
        std::future::poll_fn(|cx| {
            loop {
                if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                    if let Err(error) = &result {
                        tracing::debug!(%error, "a connection broke");
                    }
                    let plain = match result {
                        Ok(()) => Closed::Finished,
                        Err(error) if error.is_parse() => Closed::Malformed,
                        Err(_) => Closed::Broken,
                    };
                    return Poll::Ready(ending.unwrap_or(plain));
                }
                if ending.is_none() {
                    // A new connection of HTTP/2 has its first request answered, as on HTTP/1.
                    let go = http2 && draining.as_mut().poll(cx).is_ready() && activity.begun() > 0;
                    if go || stopping.as_mut().poll(cx).is_ready() {
                        ending = Some(Closed::Drained);
                        if http2 {
                            // The client may never close.
                            activity.ends();
                        }
                        say_goodbye(connection.as_mut());
                        continue;
                    }
                }
                let Some((deadline, reason)) = activity.alarm() else { return Poll::Pending };
                let deadline = Instant::from_std(deadline);
                // A later deadline needs no new alarm: the old one looks again.
                if deadline < armed {
                    armed = deadline;
                    alarm.as_mut().reset(armed);
                }
                ready!(alarm.as_mut().poll(cx));
                if Instant::now() < deadline {
                    armed = deadline;
                    alarm.as_mut().reset(armed);
                    continue;
                }
                match reason {
                    None => activity.wakes(),
                    Some(Closed::KeepAliveTimeout) if ending.is_none() => {
                        ending = Some(Closed::KeepAliveTimeout);
                        activity.ends();
                        say_goodbye(connection.as_mut());
                    }
                    Some(reason) => return Poll::Ready(ending.unwrap_or(reason)),
                }
            }
        })
        .await
    }
}

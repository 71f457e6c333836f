//! Many clients on one thread: keep-alive connections that ask again as soon as they are answered.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// Longest answer.
const ANSWER: usize = 4096;

pub struct Clients<'a> {
    requests: &'a [Vec<u8>],
    connections: Vec<Connection>,
    poll: Poll,
    events: Events,
}

struct Connection {
    stream: TcpStream,
    /// The request that comes next.
    next: usize,
    asked: Instant,
    answer: [u8; ANSWER],
    filled: usize,
}

impl<'a> Clients<'a> {
    /// Each begins elsewhere in the list of requests and goes on through it.
    pub fn connect(address: SocketAddr, clients: usize, requests: &'a [Vec<u8>]) -> Self {
        let poll = Poll::new().unwrap();
        let connection = |number: usize| {
            let stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_nonblocking(true).unwrap();
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE).unwrap();
            let next = number * requests.len() / clients;
            Connection { stream, next, asked: Instant::now(), answer: [0; ANSWER], filled: 0 }
        };
        let connections = (0..clients).map(connection).collect();
        Self { requests, connections, poll, events: Events::with_capacity(clients.max(8)) }
    }

    /// Asks until the time is over and all are answered; how long each answer took.
    pub fn ask_for(&mut self, time: Duration) -> Vec<Duration> {
        let (start, mut latencies) = (Instant::now(), Vec::with_capacity(1 << 17));
        let mut open = self.connections.len();
        for connection in &mut self.connections {
            connection.ask(self.requests);
        }
        while open > 0 {
            self.poll.poll(&mut self.events, Some(Duration::from_secs(5))).unwrap();
            assert!(!self.events.is_empty(), "no answer for five seconds");
            let goes_on = start.elapsed() < time;
            for event in &self.events {
                let connection = &mut self.connections[event.token().0];
                if !connection.is_answered() {
                    continue;
                }
                latencies.push(connection.asked.elapsed());
                if goes_on {
                    connection.ask(self.requests);
                } else {
                    open -= 1;
                }
            }
        }
        latencies
    }
}

impl Connection {
    fn ask(&mut self, requests: &[Vec<u8>]) {
        let request = &requests[self.next % requests.len()];
        (self.next, self.filled, self.asked) = (self.next + 1, 0, Instant::now());
        // A request is far smaller than the socket's buffer.
        assert_eq!(self.stream.write(request).unwrap(), request.len());
    }

    /// Reads what has come, and whether that is all of it.
    fn is_answered(&mut self) -> bool {
        match self.stream.read(&mut self.answer[self.filled..]) {
            Ok(0) => panic!("the server closed the connection"),
            Ok(length) => self.filled += length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => panic!("{error}"),
        }
        let answer = &self.answer[..self.filled];
        let Some(end) = find(answer, b"\r\n\r\n") else { return false };
        let status = &answer[9..12];
        assert_eq!(status, b"200", "{}", String::from_utf8_lossy(answer));
        let named = b"content-length: ";
        let length = find(&answer[..end], named).map_or(0, |at| {
            let digits = answer[at + named.len()..].iter().take_while(|byte| byte.is_ascii_digit());
            digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'))
        });
        answer.len() >= end + 4 + length
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

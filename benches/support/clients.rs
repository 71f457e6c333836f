//! Many clients on one thread: keep-alive connections that ask again as soon as they are answered.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::crowd::Work;
use super::{is_complete, status};

/// What a client asks next.
pub type Requests = Box<dyn FnMut() -> Vec<u8>>;

pub struct Clients {
    connections: Vec<Connection>,
    poll: Poll,
    events: Events,
}

struct Connection {
    stream: TcpStream,
    requests: Requests,
    request: Vec<u8>,
    sent: usize,
    /// `None` if there is nothing to wait for.
    asked: Option<Instant>,
    answer: Vec<u8>,
}

impl Clients {
    /// A client for each of these.
    pub fn connect(address: SocketAddr, clients: Vec<Requests>) -> Self {
        let poll = Poll::new().unwrap();
        let events = Events::with_capacity(clients.len());
        let connection = |(number, requests)| {
            let mut stream = TcpStream::from_std({
                let stream = std::net::TcpStream::connect(address).unwrap();
                stream.set_nodelay(true).unwrap();
                stream.set_nonblocking(true).unwrap();
                stream
            });
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(number), both).unwrap();
            let (request, answer) = (Vec::new(), Vec::new());
            Connection { stream, requests, request, sent: 0, asked: None, answer }
        };
        let connections = clients.into_iter().enumerate().map(connection).collect();
        Self { connections, poll, events }
    }

    /// Waits for answers, and gives how long those took that came.
    fn answers(&mut self, times: &mut Vec<Duration>) {
        self.poll.poll(&mut self.events, Some(Duration::from_secs(30))).unwrap();
        assert!(!self.events.is_empty(), "no answer for 30 seconds");
        for event in &self.events {
            let connection = &mut self.connections[event.token().0];
            connection.send();
            times.extend(connection.receive());
        }
    }

    fn are_in_work(&self) -> bool {
        self.connections.iter().any(|connection| connection.asked.is_some())
    }
}

impl Work for Clients {
    fn step(&mut self, times: &mut Vec<Duration>) {
        for connection in self.connections.iter_mut().filter(|one| one.asked.is_none()) {
            connection.ask();
        }
        self.answers(times);
    }

    fn rest(&mut self) {
        while self.are_in_work() {
            self.answers(&mut Vec::new());
        }
    }
}

impl Connection {
    fn ask(&mut self) {
        self.request = (self.requests)();
        (self.sent, self.asked) = (0, Some(Instant::now()));
        self.answer.clear();
        self.send();
    }

    fn send(&mut self) {
        while self.sent < self.request.len() {
            match self.stream.write(&self.request[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Reads what has come; the time that the answer took, if that is all of it.
    fn receive(&mut self) -> Option<Duration> {
        let mut part = [0; 4096];
        loop {
            match self.stream.read(&mut part) {
                Ok(0) => panic!("the server closed the connection"),
                Ok(length) => self.answer.extend_from_slice(&part[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        if self.asked.is_none() || !is_complete(&self.answer) {
            return None;
        }
        assert_eq!(status(&self.answer), 200, "{}", String::from_utf8_lossy(&self.answer));
        self.asked.take().map(|asked| asked.elapsed())
    }
}

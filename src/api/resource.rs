//! What clients share.

use std::sync::atomic::AtomicUsize;

use tokio::sync::Notify;

use crate::error::{Error, ErrorKind};

/// What is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    Connections,
    /// Requests and streams, whatever they wait for.
    Requests,
    /// Requests in work.
    Places,
    /// Bytes of bodies, from when they came to the end of the work on them.
    Bodies,
    /// Bytes of answers, from when they are made until they are sent.
    Answers,
}

pub const RESOURCES: usize = Resource::Answers as usize + 1;

/// How much there is of one, and what is taken.
pub struct Limit {
    pub most: usize,
    pub of_peer: usize,
    pub used: AtomicUsize,
    /// Those who wait until some is free.
    pub waiting: AtomicUsize,
    pub freed: Notify,
}

impl Limit {
    pub fn new(most: usize, share: f64, at_least: usize) -> Self {
        let of_peer = ((most as f64 * share).ceil() as usize).max(at_least).min(most);
        let [used, waiting] = [0, 0].map(AtomicUsize::new);
        Self { most, of_peer, used, waiting, freed: Notify::new() }
    }
}

/// Why there is no more of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// All of it is taken.
    All,
    /// What is left is for others.
    Share,
}

/// What a request is told that finds no more of something.
pub fn refused(what: Resource, full: Full) -> Error {
    let (detail, reason) = match (full, what) {
        (Full::Share, what) => {
            let what = match what {
                Resource::Connections => "connections",
                Resource::Requests => "open requests",
                Resource::Places => "requests in work",
                Resource::Bodies => "room for bodies",
                Resource::Answers => "room for unread answers",
            };
            let detail = format!(
                "this client has its share of the {what} (server.max_peer_share); try again"
            );
            return Error::new(ErrorKind::Overloaded, detail).because("peer_share");
        }
        (Full::All, Resource::Bodies) => {
            ("the requests in work are too large together; try again", "body_budget")
        }
        (Full::All, Resource::Answers) => {
            ("too much of other answers waits to be read; try again", "unread_answers")
        }
        (Full::All, Resource::Requests | Resource::Connections) => {
            ("too many requests are open; try again", "open_requests")
        }
        (Full::All, Resource::Places) => {
            ("too many requests are in work; try again", "concurrency")
        }
    };
    Error::new(ErrorKind::Overloaded, detail).because(reason)
}

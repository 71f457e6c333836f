//! Finds the inputs on a thread of its own, so that a slow disk or an open pipe keeps no answer back.

use std::sync::Arc;

use anyhow::anyhow;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::resume::Done;
use crate::cli::sources::{Source, Sources};

/// Inputs that are found ahead.
const AHEAD: usize = 512;
/// KiB of inputs that were found and not answered.
const ROOM: usize = 64 << 10;

/// An input, and its part of the room.
type Found = (Source, OwnedSemaphorePermit);

/// Inputs as they are found.
pub struct Fed {
    found: mpsc::Receiver<anyhow::Result<Next>>,
    /// Came after the block that it did not fit into.
    kept: Option<Found>,
}

enum Next {
    Input(Found),
    Skipped(Skipped),
}

/// Inputs that an earlier run answered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Skipped {
    pub count: u64,
    pub failed: u64,
}

/// Inputs that are answered together.
pub struct Inputs {
    pub sources: Vec<Source>,
    pub bytes: usize,
    pub skipped: Skipped,
    /// Held until they are answered.
    pub room: Vec<OwnedSemaphorePermit>,
}

pub type Block = anyhow::Result<Inputs>;

/// Starts the thread; without those that are `done` already. To be called within the async runtime.
pub fn start(sources: Sources, done: Option<Done>) -> Fed {
    let (sender, found) = mpsc::channel(AHEAD);
    let (room, handle) = (Arc::new(Semaphore::new(ROOM)), Handle::current());
    std::thread::spawn(move || {
        let mut items = sources.items;
        if let Some(done) = done {
            let skipped = done.skip(&mut items);
            let failed = skipped.is_err();
            if sender.blocking_send(skipped.map(Next::Skipped)).is_err() || failed {
                return;
            }
        }
        for source in items {
            let kib = (source.bytes() >> 10).clamp(1, ROOM) as u32;
            let room = match room.clone().try_acquire_many_owned(kib) {
                Ok(room) => Ok(room),
                Err(_) => handle.block_on(room.clone().acquire_many_owned(kib)),
            };
            let next = room.map(|room| Next::Input((source, room)));
            // Nobody waits for it any more after an error.
            if sender.blocking_send(next.map_err(|error| anyhow!(error))).is_err() {
                return;
            }
        }
    });
    Fed { found, kept: None }
}

impl Fed {
    /// Waits for an input and takes those along that are there, `most` of them, while they have less
    /// than `bytes` bytes. `None` at the end.
    pub async fn block(&mut self, most: usize, bytes: usize) -> Option<Block> {
        let mut block = Inputs {
            sources: Vec::with_capacity(most),
            bytes: 0,
            skipped: Skipped::default(),
            room: Vec::with_capacity(most),
        };
        if let Some(kept) = self.kept.take() {
            block.add(kept);
        } else {
            match self.found.recv().await? {
                Ok(Next::Input(found)) => block.add(found),
                Ok(Next::Skipped(skipped)) => block.skipped = skipped,
                Err(error) => return Some(Err(error)),
            }
        }
        while block.sources.len() < most && block.bytes < bytes {
            match self.found.try_recv() {
                Ok(Ok(Next::Input(found))) if block.bytes + found.0.bytes() > bytes => {
                    self.kept = Some(found);
                    break;
                }
                Ok(Ok(Next::Input(found))) => block.add(found),
                Ok(Ok(Next::Skipped(skipped))) => block.skipped = skipped,
                Ok(Err(error)) => return Some(Err(error)),
                Err(_) => break,
            }
        }
        Some(Ok(block))
    }
}

impl Inputs {
    fn add(&mut self, (source, room): Found) {
        self.bytes += source.bytes();
        self.sources.push(source);
        match self.room.last_mut() {
            // Of one semaphore, which they all are.
            Some(last) => last.merge(room),
            None => self.room.push(room),
        }
    }
}

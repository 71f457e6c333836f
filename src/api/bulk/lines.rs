//! Lines out of a request's body while it is still arriving, within bounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use memchr::{memchr, memchr_iter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::peers::Taken;
use crate::api::upload::Upload;
use crate::api::{App, body};
use crate::error::{Error, ErrorKind};

/// Bytes of lines that are taken at once, unless one line is longer.
pub const BLOCK: usize = 64 << 10;

/// Whole lines that came together.
pub struct Block {
    pub lines: Bytes,
    /// Number of the first one; the first of the stream is 1.
    pub first: u64,
    /// Number of the last one.
    pub last: u64,
    /// In the place of the lines: the one line was too long.
    pub refused: Option<Error>,
    pub room: Room,
}

/// What the lines of a block take.
pub struct Room {
    /// Of what bodies of the whole server may take.
    _all: Option<Taken>,
    /// Of a long line: of what those of its stream may take.
    _long: Option<OwnedSemaphorePermit>,
}

/// The lines of one request's body.
pub struct Lines {
    body: Body,
    /// Came and was not given out yet.
    buffer: BytesMut,
    /// Bytes of the buffer's beginning that hold no end of a line.
    searched: usize,
    /// Lines that were given out.
    taken: u64,
    ended: bool,
    app: App,
    /// Has the room for what is in the buffer.
    upload: Option<Arc<Upload>>,
    /// KiB that long lines of this stream may still take.
    long: Arc<Semaphore>,
    room: Option<OwnedSemaphorePermit>,
    /// Lines that were given out and not answered yet.
    in_work: Arc<AtomicUsize>,
}

impl Lines {
    pub fn new(
        body: Body,
        app: App,
        upload: Option<Arc<Upload>>,
        in_work: Arc<AtomicUsize>,
    ) -> Self {
        let long = Arc::new(Semaphore::new(body::kib(app.server.max_body_size)));
        Self {
            body,
            buffer: BytesMut::new(),
            searched: 0,
            taken: 0,
            ended: false,
            app,
            upload,
            long,
            room: None,
            in_work,
        }
    }

    /// The next lines, as many as are there and at most `most`; `None` at the end.
    ///
    /// # Errors
    /// [`ErrorKind::BodyTimeout`]: a line came too slowly, or nothing came for long while nothing was
    /// in work. Those of [`body::broken`].
    pub async fn next(&mut self, most: usize) -> Result<Option<Block>, Error> {
        if !self.ended && self.buffer.is_empty() {
            self.first_bytes().await?;
        }
        if let Err(error) = self.whole_line().await? {
            let app = self.app.clone();
            let came = AtomicU64::new(0);
            body::in_time(&app.server, &came, self.throw_away(&came)).await??;
            return Ok(Some(self.block(Bytes::new(), 1, Some(error))));
        }
        let (end, count) = self.cut(most);
        if end == 0 {
            return Ok(None);
        }
        let lines = self.buffer.split_to(end).freeze();
        if end > BLOCK {
            // What came after a long line must not keep its memory.
            self.buffer = BytesMut::from(&*self.buffer);
        }
        self.searched = 0;
        Ok(Some(self.block(lines, count, None)))
    }

    fn block(&mut self, lines: Bytes, count: u64, refused: Option<Error>) -> Block {
        let first = self.taken + 1;
        self.taken += count;
        let all = self.upload.as_ref().and_then(|upload| upload.split(lines.len()));
        let room = Room { _all: all, _long: self.room.take() };
        Block { lines, first, last: self.taken, refused, room }
    }

    /// Where to cut the buffer, and how many lines are before that.
    fn cut(&self, most: usize) -> (usize, u64) {
        let (mut end, mut lines) = (0, 0);
        let limit = self.app.server.max_body_size;
        for at in memchr_iter(b'\n', &self.buffer).take(most.max(1)) {
            if lines > 0 && (at >= BLOCK || at - end > limit) {
                return (end, lines);
            }
            (end, lines) = (at + 1, lines + 1);
        }
        match lines {
            // The last line needs no end.
            0 if self.ended && !self.buffer.is_empty() => (self.buffer.len(), 1),
            _ => (end, lines),
        }
    }

    /// Waits for a line to begin. While answers are awaited, the client may take any time.
    async fn first_bytes(&mut self) -> Result<(), Error> {
        let idle = self.app.server.keep_alive_timeout;
        loop {
            let more = tokio::time::timeout(idle, self.more()).await;
            match more {
                Ok(more) => {
                    self.ended = !more?;
                    return Ok(());
                }
                Err(_) if self.in_work.load(Ordering::Relaxed) > 0 => {}
                Err(_) => {
                    let expected = format!("a line within {idle:?}, or the end of the body");
                    return Err(Error::field(ErrorKind::BodyTimeout, "body", expected, "neither"));
                }
            }
        }
    }

    /// Reads up to the end of the line, or of the body. The inner error: the line is over a limit.
    async fn whole_line(&mut self) -> Result<Result<(), Error>, Error> {
        let app = self.app.clone();
        let limit = app.server.max_body_size;
        loop {
            let length = self.end_of_line().unwrap_or(self.buffer.len());
            if length > limit {
                let expected = format!("at most {limit} bytes");
                return Ok(Err(Error::too_large("line", expected, "more")));
            }
            if self.ended || length < self.buffer.len() {
                return Ok(Ok(()));
            }
            // Not under the client's time.
            self.make_room().await?;
            let came = AtomicU64::new(0);
            let filled = self.fill(self.room().min(limit), &came);
            body::in_time(&app.server, &came, filled).await??;
        }
    }

    /// Reads to the end of the line, or until the buffer has more than `bytes` bytes.
    async fn fill(&mut self, bytes: usize, came: &AtomicU64) -> Result<(), Error> {
        while self.end_of_line().is_none() && self.buffer.len() <= bytes && !self.ended {
            let before = self.buffer.len();
            self.ended = !self.more().await?;
            came.fetch_add((self.buffer.len() - before) as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Leaves the buffer after the end of its line.
    async fn throw_away(&mut self, came: &AtomicU64) -> Result<(), Error> {
        self.room = None;
        loop {
            let end = self.end_of_line();
            let gone = self.buffer.split_to(end.map_or(self.buffer.len(), |end| end + 1)).len();
            drop(self.upload.as_ref().map(|upload| upload.split(gone)));
            self.searched = 0;
            if end.is_some() {
                return Ok(());
            }
            came.fetch_add(gone as u64, Ordering::Relaxed);
            self.buffer = BytesMut::new();
            if !self.more().await? {
                self.ended = true;
                return Ok(());
            }
        }
    }

    /// Bytes of a line for which there is room.
    fn room(&self) -> usize {
        self.room.as_ref().map_or(BLOCK, |room| room.num_permits() << 10)
    }

    /// Takes room for a line that is longer than what there is: twice as much, of this stream, whose
    /// earlier long lines end by themselves.
    async fn make_room(&mut self) -> Result<(), Error> {
        let has = self.room();
        if self.buffer.len() <= has {
            return Ok(());
        }
        let wanted = (has * 2).max(self.buffer.len()).min(self.app.server.max_body_size);
        let further = body::kib(wanted) - self.room.as_ref().map_or(0, |_| has >> 10);
        let further_kib = u32::try_from(further).unwrap_or(u32::MAX);
        let own = self.long.clone().acquire_many_owned(further_kib).await;
        let own = own.map_err(Error::internal)?;
        match &mut self.room {
            Some(room) => room.merge(own),
            None => self.room = Some(own),
        }
        Ok(())
    }

    fn end_of_line(&mut self) -> Option<usize> {
        let found = memchr(b'\n', &self.buffer[self.searched..]);
        match found {
            Some(at) => Some(self.searched + at),
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }

    /// Waits for more bytes; `false` at the end.
    async fn more(&mut self) -> Result<bool, Error> {
        loop {
            match self.body.frame().await {
                None => return Ok(false),
                Some(Err(error)) => return Err(body::broken(error)),
                Some(Ok(frame)) => {
                    // Trailers of a request mean nothing.
                    let Ok(data) = frame.into_data() else { continue };
                    if !data.is_empty() {
                        self.buffer.extend_from_slice(&data);
                        return Ok(true);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::config::{Flags, ServerConfig};
    use crate::runtime::compute::Compute;

    /// What came in these pieces, in blocks of at most `most` lines: `first-last:lines`.
    async fn blocks(pieces: &[&str], most: usize, limit: usize) -> Vec<String> {
        let mut config = ServerConfig::load(None, &Flags::default()).unwrap();
        config.server.max_body_size = limit;
        let compute = Arc::new(Compute::new(1).unwrap());
        let app = App::new(&config, compute, Arc::default(), crate::telemetry::Handle::default());
        let pieces: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, axum::Error>(Bytes::from((*piece).to_owned())))
            .collect();
        let body = Body::from_stream(stream::iter(pieces));
        let mut lines = Lines::new(body, app, None, Arc::default());
        let mut told = Vec::new();
        while let Some(Block { lines, first, last, refused, .. }) = lines.next(most).await.unwrap()
        {
            let text = match refused {
                Some(error) => error.detail,
                None => String::from_utf8(lines.to_vec()).unwrap(),
            };
            told.push(format!("{first}-{last}:{text}"));
        }
        told
    }

    #[tokio::test]
    async fn lines_are_taken_as_they_come_however_they_are_cut() {
        let told = blocks(&["a\nb\nc", "c\n", "\nd", "d"], 2, 100).await;
        assert_eq!(told, ["1-2:a\nb\n", "3-3:cc\n", "4-4:\n", "5-5:dd"]);
        assert_eq!(blocks(&[], 2, 100).await, [""; 0]);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_told_by_its_number_and_the_rest_is_taken() {
        let told = blocks(&["a\nbbb", "bbb", "bbb\nc\n", "dddddddd\ne"], 9, 6).await;
        let long = "`line`: expected at most 6 bytes, got more";
        assert_eq!(
            told,
            ["1-1:a\n", &format!("2-2:{long}"), "3-3:c\n", &format!("4-4:{long}"), "5-5:e"]
        );
    }
}

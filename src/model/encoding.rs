//! A request's input on its way to rows: where it is small on the caller's thread, else in pieces on the
//! compute threads, by turns with other requests'.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::engine::{Asked, Engine};
use crate::error::Error;
use crate::rows::Rows;
use crate::runtime::compute::{self, schedule::Of};
use crate::runtime::patience::Due;
use crate::tasks::{Parameters, Part, Piece, Stages};

/// What came of it.
pub struct Encoded {
    pub rows: Rows,
    pub began: Instant,
    /// Of decoding images, and of all of it; of several pieces, the sum.
    pub decode: Duration,
    pub whole: Duration,
}

/// What its pieces share.
pub struct Encoding {
    engine: Arc<Engine>,
    asked: Arc<Asked>,
    parameters: Parameters,
    pieces: Vec<Piece>,
    due: Option<Due>,
    stages: Stages,
    began: OnceLock<Instant>,
    /// Nanoseconds of a thread.
    spent: AtomicU64,
}

impl Encoding {
    /// Without pieces it is small.
    pub fn new(
        engine: Arc<Engine>,
        asked: Arc<Asked>,
        parameters: Parameters,
        pieces: Vec<Piece>,
        due: Option<Due>,
    ) -> Self {
        let (stages, began, spent) = (Stages::default(), OnceLock::new(), AtomicU64::new(0));
        Self { engine, asked, parameters, pieces, due, stages, began, spent }
    }

    /// `costs`: what each piece takes of a thread.
    ///
    /// # Errors
    /// Input that the model cannot take; that it was not begun while anybody had the patience.
    pub async fn run(self, costs: &[Duration], of: Of) -> Result<Encoded, Error> {
        let compute = self.engine.compute.clone();
        match self.pieces.len() {
            0 => {
                let rows = compute::here(|| self.whole())?;
                Ok(self.encoded(rows))
            }
            1 => {
                let this = Arc::new(self);
                let encoding = this.clone();
                let work = move |_| {
                    encoding.check_due()?;
                    encoding.whole()
                };
                let rows = compute.each(of, costs, work).await?.pop();
                Ok(this.encoded(rows.ok_or_else(|| Error::internal("a piece is missing"))?))
            }
            _ => {
                let this = Arc::new(self);
                let encoding = this.clone();
                let parts = compute.each(of, costs, move |index| encoding.piece(index)).await?;
                compute.run(move || Ok(this.encoded(this.join(parts)?))).await
            }
        }
    }

    fn check_due(&self) -> Result<(), Error> {
        match self.due.as_ref().filter(|due| due.is_over(Instant::now())) {
            Some(due) => Err(due.refusal()),
            None => Ok(()),
        }
    }

    fn whole(&self) -> Result<Rows, Error> {
        let Self { engine, asked, parameters, stages, .. } = self;
        let rows = self.timed(|| engine.task.encode(&asked.input, parameters, stages));
        if let (Ok((_, took)), Some(piece)) = (&rows, self.pieces.first()) {
            engine.admission.encoded(piece, *took);
        }
        rows.map(|(rows, _)| rows)
    }

    fn piece(&self, index: usize) -> Result<Part, Error> {
        let Self { engine, asked, parameters, stages, .. } = self;
        if index == 0 {
            self.check_due()?;
        }
        let piece = &self.pieces[index];
        let items = piece.items.clone();
        let encode = || engine.task.encode_piece(&asked.input, items, parameters, stages);
        let (part, took) = self.timed(encode)?;
        engine.admission.encoded(piece, took);
        Ok(part)
    }

    fn join(&self, parts: Vec<Part>) -> Result<Rows, Error> {
        let Self { engine, asked, .. } = self;
        self.timed(|| engine.task.join(&asked.input, parts)).map(|(rows, _)| rows)
    }

    fn timed<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<(T, Duration), Error> {
        let start = Instant::now();
        self.began.get_or_init(|| start);
        let done = work()?;
        let took = start.elapsed();
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.spent.fetch_add(nanoseconds, Ordering::Relaxed);
        Ok((done, took))
    }

    fn encoded(&self, rows: Rows) -> Encoded {
        let whole = Duration::from_nanos(self.spent.load(Ordering::Relaxed));
        let began = self.began.get().copied().unwrap_or_else(Instant::now);
        Encoded { rows, began, decode: self.stages.decode(), whole }
    }
}

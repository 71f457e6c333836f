//! What reading a client's bytes may cost: memory that is paid before it is taken, steps that are
//! counted, and from time to time a look at whether anybody still waits for what is read.
//!
//! A [`Meter`] is made for the bytes that came, and whatever reads them takes it along: each thing that
//! is kept is paid by [`Meter::take`] or [`Meter::room`] first, each item is a [`Meter::step`]. So no
//! body costs more than a few times its length, however it is made, and what nobody waits for ends.

use std::cell::{Cell, RefCell};

use crate::error::{Error, ErrorKind};

/// Bytes of memory for each byte that came,
const PER_BYTE: usize = 4;
/// and for any request, so that small ones are not refused for what they hold besides.
pub(crate) const BASE: usize = 512 << 10;
/// The same for one of many lines that are read together, and for all of these.
const LINE_BASE: usize = 2 << 10;
const LINES_BASE: usize = 256 << 10;
/// Steps between two looks at whether anybody waits.
const LOOK: u64 = 1024;
/// Bytes of a place that are told.
const PLACE: usize = 256;

/// What may still be spent on one request.
pub struct Meter<'a> {
    /// Bytes of memory.
    left: Cell<usize>,
    /// What several meters share, once their own is spent.
    shared: Option<&'a Cell<usize>>,
    steps: Cell<u64>,
    /// At how many steps to look again.
    look: Cell<u64>,
    waits: &'a dyn Fn() -> bool,
    /// Why reading ended, where a parser between has words of its own alone.
    ended: RefCell<Option<Error>>,
    /// Where in the value reading failed, such as `[2].age`.
    place: RefCell<String>,
}

impl<'a> Meter<'a> {
    /// For a request of so many bytes. `waits`: whether its caller still does.
    #[must_use]
    pub fn new(bytes: usize, waits: &'a dyn Fn() -> bool) -> Self {
        Self::rated(bytes, PER_BYTE, waits)
    }

    /// With another price: so many bytes of memory for each byte that came.
    #[must_use]
    pub fn rated(bytes: usize, per_byte: usize, waits: &'a dyn Fn() -> bool) -> Self {
        Self {
            left: Cell::new(bytes.saturating_mul(per_byte).saturating_add(BASE)),
            shared: None,
            steps: Cell::new(0),
            look: Cell::new(LOOK),
            waits,
            ended: RefCell::new(None),
            place: RefCell::new(String::new()),
        }
    }

    /// For the operator's own files, which may cost what they cost.
    #[must_use]
    pub fn unbounded() -> Self {
        Self::new(usize::MAX, &|| true)
    }

    /// What [`Self::of_line`] shares out.
    #[must_use]
    pub fn of_lines() -> Cell<usize> {
        Cell::new(LINES_BASE)
    }

    /// For one of several lines that are kept together.
    #[must_use]
    pub fn of_line(bytes: usize, shared: &'a Cell<usize>, waits: &'a dyn Fn() -> bool) -> Self {
        let own = bytes.saturating_mul(PER_BYTE).saturating_add(LINE_BASE);
        Self { left: Cell::new(own), shared: Some(shared), ..Self::new(0, waits) }
    }

    /// Pays for so many bytes of memory.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`]: more than the request's bytes are worth.
    pub fn take(&self, bytes: usize) -> Result<(), Error> {
        let left = self.left.get();
        if let Some(rest) = left.checked_sub(bytes) {
            self.left.set(rest);
            return Ok(());
        }
        if let Some(shared) = self.shared
            && let Some(rest) = shared.get().checked_sub(bytes - left)
        {
            self.left.set(0);
            shared.set(rest);
            return Ok(());
        }
        let expected = "values that need at most four times the body's bytes in memory";
        Err(Error::too_large("body", expected, "more; send fewer of them at once"))
    }

    /// Takes back what was paid for memory that is free again.
    pub fn give_back(&self, bytes: usize) {
        self.left.set(self.left.get().saturating_add(bytes));
    }

    /// Room for one more element: for `expected` in all, else for half as many again.
    ///
    /// # Errors
    /// As [`Self::take`].
    #[inline]
    pub fn room<T>(
        &self,
        list: &mut Vec<T>,
        expected: impl FnOnce() -> usize,
    ) -> Result<(), Error> {
        if list.len() < list.capacity() { Ok(()) } else { self.grow(list, expected()) }
    }

    #[cold]
    fn grow<T>(&self, list: &mut Vec<T>, expected: usize) -> Result<(), Error> {
        let (old, length) = (list.capacity(), list.len());
        let new = expected.max(length.saturating_add((length / 2).max(1)));
        // Both are there while one is copied to the other.
        self.take(new.saturating_mul(size_of::<T>()))?;
        list.reserve_exact(new - length);
        self.give_back(old * size_of::<T>());
        Ok(())
    }

    /// Counts an item.
    ///
    /// # Errors
    /// Nobody waits for what is read.
    #[inline]
    pub fn step(&self) -> Result<(), Error> {
        self.steps(1)
    }

    /// Counts so many items.
    ///
    /// # Errors
    /// As [`Self::step`].
    #[inline]
    pub fn steps(&self, count: u64) -> Result<(), Error> {
        let steps = self.steps.get() + count;
        self.steps.set(steps);
        if steps < self.look.get() { Ok(()) } else { self.look() }
    }

    #[cold]
    fn look(&self) -> Result<(), Error> {
        self.look.set(self.steps.get() + LOOK);
        match (self.waits)() {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::DeadlineExceeded, "nobody waits for the answer")),
        }
    }

    /// Items counted so far.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.steps.get()
    }

    /// The error for a parser that has its own kind, from which [`Self::ended`] tells the true one.
    pub fn ends<E: serde::de::Error>(&self, error: Error) -> E {
        *self.ended.borrow_mut() = Some(error);
        E::custom("ended")
    }

    /// Why reading ended, if it was not the parser's own doing.
    pub fn ended(&self) -> Option<Error> {
        self.ended.borrow_mut().take()
    }

    /// An error on its way out passes the element of this number.
    #[cold]
    pub fn at(&self, index: usize) {
        self.put_before(&format!("[{index}]"));
    }

    /// An error on its way out passes the field of this name.
    #[cold]
    pub fn at_name(&self, name: &str) {
        self.put_before(&format!(".{}", crate::error::excerpt(name)));
    }

    fn put_before(&self, part: &str) {
        let mut place = self.place.borrow_mut();
        if place.len() + part.len() <= PLACE {
            place.insert_str(0, part);
        }
    }

    /// Where the error was that passed.
    #[must_use]
    pub fn place(&self) -> String {
        self.place.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_paid_before_it_is_taken_and_both_copies_of_a_list_that_grows_count() {
        let meter = Meter::rated(0, 4, &|| true);
        let mut list = Vec::<u64>::new();
        meter.room(&mut list, || BASE / 8).unwrap();
        assert_eq!(list.capacity(), BASE / 8);
        list.resize(BASE / 8, 0);
        let error = meter.room(&mut list, || 0).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooLarge);
        assert_eq!(list.capacity(), BASE / 8);
        meter.give_back(1);
        assert!(meter.take(1).is_ok() && meter.take(1).is_err());
    }

    #[test]
    fn lines_have_their_own_share_and_one_in_common() {
        let shared = Meter::of_lines();
        let greedy = Meter::of_line(0, &shared, &|| true);
        greedy.take(LINE_BASE + LINES_BASE).unwrap();
        assert!(greedy.take(1).is_err());
        let other = Meter::of_line(10, &shared, &|| true);
        assert!(other.take(LINE_BASE + 40).is_ok() && other.take(1).is_err());
    }

    #[test]
    fn what_nobody_waits_for_ends() {
        let waits = Cell::new(true);
        let look = || waits.get();
        let meter = Meter::new(0, &look);
        meter.steps(LOOK * 2).unwrap();
        waits.set(false);
        assert!((0..=LOOK).any(|_| meter.step().is_err()));
    }
}

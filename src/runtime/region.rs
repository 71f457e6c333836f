//! A file's bytes in memory of this process, of which some stay in the file until they are read.
//!
//! Whoever truncates a mapped file ends the process that reads there (SIGBUS), and whoever writes into it
//! changes what is read. So all of a file is read in, but for the ranges that the caller will not need for
//! long: those are mapped where they would lie.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::ptr::{self, NonNull};

/// Bytes between two calls of what looks at all of them.
const STEP: usize = 4 << 20;

/// Memory at one place as long as this lives.
#[derive(Debug)]
pub struct Region {
    start: NonNull<u8>,
    length: usize,
    /// Whole pages, in rising order.
    mapped: Vec<Range<usize>>,
}

#[expect(unsafe_code, reason = "a raw pointer says nothing of who may use it")]
// SAFETY: once it is made, nobody writes into the memory, and it is freed when the last user is gone.
unsafe impl Send for Region {}
#[expect(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// The first `length` bytes of a file, of which whole pages within `stay` are only mapped.
    ///
    /// # Errors
    /// The file is shorter, cannot be read, or the system gives no memory.
    pub fn read(file: &File, length: usize, stay: &[Range<usize>]) -> io::Result<Self> {
        let mut region = Self { start: map(length)?, length, mapped: Vec::new() };
        let mut next = 0;
        for range in stay.iter().map(whole_pages).filter(|range| !range.is_empty()) {
            region.fill(file, next..range.start)?;
            region.map_file(file, range.clone())?;
            next = range.end;
            region.mapped.push(range);
        }
        region.fill(file, next..length)?;
        Ok(region)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Where these bytes lie.
    ///
    /// # Panics
    /// They are not within it.
    #[must_use]
    pub fn at(&self, range: &Range<usize>) -> NonNull<u8> {
        assert!(range.start <= range.end && range.end <= self.length, "{range:?} is outside");
        #[expect(unsafe_code, reason = "pointers of memory that no slice holds")]
        // SAFETY: it is within the memory, as was just asked.
        unsafe {
            self.start.add(range.start)
        }
    }

    /// All bytes in order, piece by piece. What stays in the file is not kept in memory.
    pub fn pieces(&self, mut look: impl FnMut(&[u8])) {
        for start in (0..self.length).step_by(STEP) {
            let range = start..(start + STEP).min(self.length);
            #[expect(unsafe_code, reason = "a slice of memory that the system gave")]
            // SAFETY: it is within the memory, which is readable, and which nobody changes.
            look(unsafe { std::slice::from_raw_parts(self.at(&range).as_ptr(), range.len()) });
            self.forget_within(range);
        }
    }

    /// Lets go of the pages that stay in the file: whoever reads there gets them again.
    pub fn forget(&self) {
        self.forget_within(0..self.length);
    }

    fn forget_within(&self, within: Range<usize>) {
        for mapped in &self.mapped {
            let range = whole_pages(&(mapped.start.max(within.start)..mapped.end.min(within.end)));
            if range.is_empty() {
                continue;
            }
            #[expect(unsafe_code, reason = "the standard library has no call for it")]
            // SAFETY: a mapping of the file that is only read, which the system fills again. A failure leaves
            // the pages where they are.
            unsafe {
                libc::madvise(self.at(&range).as_ptr().cast(), range.len(), libc::MADV_DONTNEED);
            }
        }
    }

    fn fill(&mut self, file: &File, range: Range<usize>) -> io::Result<()> {
        #[expect(unsafe_code, reason = "a slice of memory that the system gave")]
        // SAFETY: it is within the memory, which is writable here and which nobody else has yet.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(self.at(&range).as_ptr(), range.len()) };
        file.read_exact_at(bytes, range.start as u64)
    }

    /// Puts a read-only mapping of the file's own bytes over whole pages.
    fn map_file(&mut self, file: &File, range: Range<usize>) -> io::Result<()> {
        let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_FIXED);
        let at = self.at(&range).as_ptr().cast();
        let offset = libc::off_t::try_from(range.start).map_err(io::Error::other)?;
        #[expect(unsafe_code, reason = "the standard library has no call for it")]
        // SAFETY: it replaces pages of this region alone, of which nobody else knows yet.
        let mapped =
            unsafe { libc::mmap(at, range.len(), protection, flags, file.as_raw_fd(), offset) };
        if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        if self.length > 0 {
            #[expect(unsafe_code, reason = "the standard library has no call for it")]
            // SAFETY: what `map` gave, mappings of the file within it included, and nobody uses it any more.
            unsafe {
                libc::munmap(self.start.as_ptr().cast(), self.length);
            }
        }
    }
}

/// Zeros at an address that divides into pages.
fn map(length: usize) -> io::Result<NonNull<u8>> {
    if length == 0 {
        return Ok(NonNull::dangling());
    }
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    #[expect(unsafe_code, reason = "the standard library has no call for it")]
    // SAFETY: new memory, wherever the system has room.
    let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
    match NonNull::new(start) {
        Some(at) if start != libc::MAP_FAILED => Ok(at.cast()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The pages that lie within a range as a whole.
fn whole_pages(range: &Range<usize>) -> Range<usize> {
    #[expect(unsafe_code, reason = "the standard library has no call for it")]
    // SAFETY: it asks for a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let (start, end) = (range.start.next_multiple_of(page), range.end / page * page);
    start..end.max(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(region: &Region) -> Vec<u8> {
        let mut bytes = Vec::new();
        region.pieces(|piece| bytes.extend_from_slice(piece));
        bytes
    }

    #[test]
    fn what_is_read_in_stays_whatever_becomes_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.bin");
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        let stay = [100..50_000, 60_000..200_001, 300_000..300_100];
        let region = Region::read(&file, bytes.len(), &stay).unwrap();
        assert_eq!(all(&region), bytes);
        region.forget();
        assert_eq!(all(&region), bytes, "what was forgotten is read again");
        assert_eq!(region.mapped.len(), 2, "the third has no whole page");
        // Into the same file, as `cp` does.
        std::fs::write(&path, vec![0; bytes.len()]).unwrap();
        let after = all(&region);
        for (place, (before, after)) in bytes.iter().zip(&after).enumerate() {
            let stays = region.mapped.iter().any(|range| range.contains(&place));
            assert!(stays || before == after, "{place}");
        }
        std::fs::write(&path, "").unwrap();
        drop(region);
        assert!(Region::read(&file, 1, &[]).is_err(), "the file is shorter");
        assert!(all(&Region::read(&file, 0, &[]).unwrap()).is_empty());
    }
}

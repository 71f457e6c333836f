//! The markers of a JPEG, in their order: its headers and tables, and where its scans begin and end.
//!
//! None for what encoders hardly write, and for what is wrong.

use memchr::memchr;

use super::frame::{Component, Frame, Scan, ScanComponent};
use super::huffman::Table;

/// What follows a header or a scan.
pub(super) enum Next {
    Scan(Scan),
    End,
}

/// A Huffman table as it stands in the file: lengths and symbols.
type Codes<'a> = (&'a [u8; 16], &'a [u8]);

/// Reads a file's markers in their order.
pub(super) struct Reader<'a> {
    file: &'a [u8],
    at: usize,
    quantisation: [Option<[u16; 64]>; 4],
    dc: [Option<Codes<'a>>; 4],
    ac: [Option<Codes<'a>>; 4],
    has_scans: bool,
    /// MCUs between two restart markers; 0 if there are none.
    pub restart_interval: usize,
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a [u8]) -> Option<Self> {
        file.starts_with(&[0xff, 0xd8]).then_some(Self {
            file,
            at: 2,
            quantisation: [None; 4],
            dc: [None; 4],
            ac: [None; 4],
            has_scans: false,
            restart_interval: 0,
        })
    }

    /// Reads up to the frame's header.
    pub fn frame(&mut self) -> Option<Frame> {
        loop {
            match self.segment()? {
                (kind @ 0xc0..=0xc2, body) => return Frame::parse(body, kind == 0xc2),
                (kind, body) => self.table(kind, body)?,
            }
        }
    }

    /// Reads up to the next scan's data, or to the end of the image.
    pub fn next(&mut self, frame: &Frame) -> Option<Next> {
        while !self.file.get(self.at..)?.starts_with(&[0xff, 0xd9]) {
            match self.segment()? {
                (0xda, body) => {
                    self.has_scans = true;
                    return Some(Next::Scan(Scan::parse(frame, body)?));
                }
                (kind, body) => self.table(kind, body)?,
            }
        }
        Some(Next::End)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.file.get(self.at..)?.get(..count)?;
        self.at += count;
        Some(taken)
    }

    /// A marker and what belongs to it.
    fn segment(&mut self) -> Option<(u8, &'a [u8])> {
        let &[0xff, kind, high, low] = self.take(4)? else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        Some((kind, self.take(length.checked_sub(2)?)?))
    }

    fn table(&mut self, kind: u8, body: &'a [u8]) -> Option<()> {
        match kind {
            0xc4 => self.huffman(body)?,
            // A component keeps the table of its first scan; only odd files change one later.
            0xdb if !self.has_scans => self.quantisation(body)?,
            0xdd => {
                self.restart_interval = usize::from(u16::from_be_bytes(body.try_into().ok()?));
            }
            // Adobe's marker names the colours; all but YCbCr are rare.
            0xee if body.starts_with(b"Adobe") && body.get(11) != Some(&1) => return None,
            0xe0..=0xef | 0xfe => {}
            _ => return None,
        }
        Some(())
    }

    fn quantisation(&mut self, mut body: &[u8]) -> Option<()> {
        while let Some((&kind, rest)) = body.split_first() {
            let mut table = [0; 64];
            body = match kind >> 4 {
                0 => {
                    let (values, rest) = rest.split_first_chunk::<64>()?;
                    table = values.map(u16::from);
                    rest
                }
                1 => {
                    let (values, rest) = rest.split_first_chunk::<128>()?;
                    for (value, &bytes) in table.iter_mut().zip(values.as_chunks().0) {
                        *value = u16::from_be_bytes(bytes);
                    }
                    rest
                }
                _ => return None,
            };
            *self.quantisation.get_mut(usize::from(kind & 15))? = Some(table);
        }
        Some(())
    }

    fn huffman(&mut self, mut body: &'a [u8]) -> Option<()> {
        while let Some((&kind, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>()?;
            let count = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(count)?;
            let tables = match kind >> 4 {
                0 if symbols.iter().all(|&symbol| symbol < 16) => &mut self.dc,
                1 => &mut self.ac,
                _ => return None,
            };
            *tables.get_mut(usize::from(kind & 15))? = Some((counts, symbols));
            body = rest;
        }
        Some(())
    }

    /// The divisors of a component, in zigzag order.
    pub fn divisors(&self, component: &Component) -> Option<&[u16; 64]> {
        self.quantisation.get(component.quantisation)?.as_ref()
    }

    pub fn dc_table(&self, component: ScanComponent) -> Option<Box<Table>> {
        let (counts, symbols) = (*self.dc.get(component.dc)?)?;
        Table::new(counts, symbols)
    }

    pub fn ac_table(&self, component: ScanComponent) -> Option<Box<Table>> {
        let (counts, symbols) = (*self.ac.get(component.ac)?)?;
        Table::new(counts, symbols)
    }

    /// Bytes of the file that were not read.
    pub fn left(&self) -> usize {
        self.file.len() - self.at
    }

    /// Reads entropy-coded data up to the next marker, without the zeros behind each 255.
    pub fn entropy_coded(&mut self, bytes: &mut Vec<u8>) -> Option<()> {
        bytes.clear();
        loop {
            let rest = self.file.get(self.at..)?;
            let length = memchr(0xff, rest)?;
            bytes.extend_from_slice(&rest[..length]);
            self.at += length;
            if rest.get(length + 1)? != &0 {
                return Some(());
            }
            bytes.push(0xff);
            self.at += 2;
        }
    }

    /// Reads the restart marker of this number.
    pub fn restart(&mut self, number: usize) -> Option<()> {
        (self.take(2)? == [0xff, 0xd0 + (number % 8) as u8]).then_some(())
    }
}

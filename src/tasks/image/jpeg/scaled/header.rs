//! The markers of a JPEG (ITU-T T.81, annex B): what its headers say, and where its scans begin and end.
//!
//! Everything here is `None` for what encoders hardly write, or what is wrong.

use memchr::memchr;

use super::huffman::Table;

/// Of a position in zigzag order: the row (from bit 3 on) and the column of its frequency.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// One component of a frame.
pub(super) struct Component {
    id: u8,
    /// Sampling factors: blocks in an MCU, across and down.
    pub horizontal: usize,
    pub vertical: usize,
    quantisation: usize,
}

/// A frame of one component, or of Y, Cb and Cr.
pub(super) struct Frame {
    /// In pixels.
    pub width: usize,
    pub height: usize,
    pub is_progressive: bool,
    pub components: Vec<Component>,
    /// Largest sampling factors.
    pub horizontal: usize,
    pub vertical: usize,
}

impl Frame {
    fn parse(body: &[u8], is_progressive: bool) -> Option<Self> {
        let (&[precision, h1, h0, w1, w0, count], components) = body.split_first_chunk()?;
        let (components, rest) = components.as_chunks::<3>();
        let is_regular =
            precision == 8 && components.len() == usize::from(count) && rest.is_empty();
        if !is_regular || !matches!(count, 1 | 3) {
            return None;
        }
        let component = |&[id, sampling, quantisation]: &[u8; 3]| Component {
            id,
            horizontal: usize::from(sampling >> 4),
            vertical: usize::from(sampling & 15),
            quantisation: usize::from(quantisation),
        };
        let mut components: Vec<_> = components.iter().map(component).collect();
        if let [only] = components.as_mut_slice() {
            // An MCU of a single component is one block, whatever its factors.
            (only.horizontal, only.vertical) = (1, 1);
        }
        let horizontal = components.iter().map(|component| component.horizontal).max()?;
        let vertical = components.iter().map(|component| component.vertical).max()?;
        let is_common = |factor, most| matches!((factor, most), (1, 1 | 2) | (2, 2));
        let are_common = components.iter().all(|component| {
            is_common(component.horizontal, horizontal) && is_common(component.vertical, vertical)
        });
        // Without a marker that says so, these names stand for colours that are not converted.
        let is_rgb = components.iter().map(|component| component.id).eq(*b"RGB");
        let width = usize::from(u16::from_be_bytes([w1, w0]));
        let height = usize::from(u16::from_be_bytes([h1, h0]));
        (are_common && !is_rgb && width > 0 && height > 0).then_some(Self {
            width,
            height,
            is_progressive,
            components,
            horizontal,
            vertical,
        })
    }

    /// MCUs in a row, and rows of them.
    pub fn mcus(&self) -> (usize, usize) {
        (self.width.div_ceil(8 * self.horizontal), self.height.div_ceil(8 * self.vertical))
    }

    /// Blocks in a row of a component, and rows of them, without those that only fill an MCU.
    pub fn blocks(&self, component: usize) -> (usize, usize) {
        let component = &self.components[component];
        let across = (self.width * component.horizontal).div_ceil(8 * self.horizontal);
        (across, (self.height * component.vertical).div_ceil(8 * self.vertical))
    }
}

/// A component's part in a scan.
#[derive(Clone, Copy)]
pub(super) struct ScanComponent {
    /// Its index in the frame.
    pub index: usize,
    dc: usize,
    ac: usize,
}

/// The header of a scan.
pub(super) struct Scan {
    pub components: Vec<ScanComponent>,
    /// Spectral selection: the first and the last place in zigzag order.
    pub first: u8,
    pub last: u8,
    /// Successive approximation: the bit that was known before, or 0, and the one that is known now.
    pub high: u8,
    pub low: u8,
}

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
    /// The block with the orientation.
    pub exif: Option<&'a [u8]>,
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
            exif: None,
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
                    return Some(Next::Scan(parse_scan(frame, body)?));
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
            0xe1 if body.starts_with(b"Exif\0\0") => {
                if self.exif.replace(body).is_some() {
                    return None;
                }
            }
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

fn parse_scan(frame: &Frame, body: &[u8]) -> Option<Scan> {
    let (&count, body) = body.split_first()?;
    let (components, &[first, last, bits]) = body.split_at_checked(usize::from(count) * 2)? else {
        return None;
    };
    let mut parts: Vec<ScanComponent> = Vec::with_capacity(3);
    for &[id, tables] in components.as_chunks().0 {
        let index = frame.components.iter().position(|component| component.id == id)?;
        // In the frame's order, and none twice.
        if parts.last().is_some_and(|part| part.index >= index) {
            return None;
        }
        parts.push(ScanComponent {
            index,
            dc: usize::from(tables >> 4),
            ac: usize::from(tables & 15),
        });
    }
    let scan = Scan { components: parts, first, last, high: bits >> 4, low: bits & 15 };
    (!scan.components.is_empty() && first <= last && last < 64).then_some(scan)
}

//! What the headers of a JPEG's frame and of its scans say (ITU-T T.81, annex B).
//!
//! None for what encoders hardly write, and for what is wrong.

/// By place in zigzag order: the row (from bit 3 on) and the column of its frequency.
const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Row and column of the frequencies, in zigzag order.
pub(super) fn zigzag() -> impl Iterator<Item = (usize, usize)> {
    ZIGZAG.into_iter().map(usize::from).map(|position| (position / 8, position % 8))
}

/// One component of a frame.
pub(super) struct Component {
    id: u8,
    /// Sampling factors: blocks in an MCU, across and down.
    pub horizontal: usize,
    pub vertical: usize,
    /// Which table of divisors.
    pub quantisation: usize,
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
    pub fn parse(body: &[u8], is_progressive: bool) -> Option<Self> {
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
        let is_factor = |factor: &usize| (1..=4).contains(factor);
        if !components.iter().all(|part| is_factor(&part.horizontal) && is_factor(&part.vertical)) {
            return None;
        }
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
    /// Which Huffman tables, 0 to 3.
    pub dc: usize,
    pub ac: usize,
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

impl Scan {
    pub fn parse(frame: &Frame, body: &[u8]) -> Option<Self> {
        let (&count, body) = body.split_first()?;
        let (components, &[first, last, bits]) = body.split_at_checked(usize::from(count) * 2)?
        else {
            return None;
        };
        let mut parts: Vec<ScanComponent> = Vec::with_capacity(3);
        for &[id, tables] in components.as_chunks().0 {
            let index = frame.components.iter().position(|component| component.id == id)?;
            let (dc, ac) = (usize::from(tables >> 4), usize::from(tables & 15));
            // In the frame's order, and none twice.
            if parts.last().is_some_and(|part| part.index >= index) || dc > 3 || ac > 3 {
                return None;
            }
            parts.push(ScanComponent { index, dc, ac });
        }
        let scan = Self { components: parts, first, last, high: bits >> 4, low: bits & 15 };
        (!scan.components.is_empty() && first <= last && last < 64).then_some(scan)
    }
}

//! Inputs that differ, of which a model's answers show more than those to one sample do. The same every
//! time.

use bytes::Bytes;

use super::text::{TextEncoder, TokenEncoder};
use super::{Image, ImageSource, Input, Text};
use crate::tensor::{DataType, Tensor};

/// Words of a text: short and long ones beside each other.
const LENGTHS: [usize; 8] = [3, 11, 1, 7, 2, 9, 5, 14];
const WORDS: [&str; 24] = [
    "the", "good", "of", "a", "terrible", "day", "I", "not", "love", "was", "house", "in", "never",
    "great", "and", "bad", "water", "said", "seven", "cold", "they", "best", "city", "why",
];
/// Sides of an image.
const SIDE: usize = 12;

/// Texts of other lengths and words, half of which are the vocabulary's own: of a tokenizer for
/// another language or none, English words may all be one unknown token.
pub(super) fn texts(count: usize, encoder: &TextEncoder) -> Input {
    match encoder {
        TextEncoder::Tokens(encoder) => tokens(count, encoder),
        TextEncoder::Strings { .. } => of_words(count, &[]),
    }
}

/// The same for a tokenizer.
pub(super) fn tokens(count: usize, encoder: &TokenEncoder) -> Input {
    of_words(count, &own_words(encoder))
}

fn of_words(count: usize, own: &[String]) -> Input {
    let mut random = fastrand::Rng::with_seed(7);
    let mut word = |place: usize| match own {
        [] => WORDS[random.usize(..WORDS.len())],
        own if place % 2 == 1 => &own[random.usize(..own.len())],
        _ => WORDS[random.usize(..WORDS.len())],
    };
    let mut text = |row: usize| {
        let words: Vec<&str> = (0..LENGTHS[row % LENGTHS.len()]).map(|n| word(row + n)).collect();
        Text { field: "text".into(), text: words.join(" "), pair: None }
    };
    Input::Texts((0..count).map(&mut text).collect())
}

/// Words out of all parts of the vocabulary.
fn own_words(encoder: &TokenEncoder) -> Vec<String> {
    let known = |id: &u32| encoder.token(*id).is_some();
    let size = std::iter::successors(Some(16_u32), |id| id.checked_mul(2)).take_while(known).last();
    let step = (size.unwrap_or(0) / 32).max(1);
    let ids = (0..64).map(|n| 3 + n * step);
    let word = |id| {
        // Special tokens mean something, and `##ly` is no word.
        let token = encoder.token(id).filter(|token| !token.starts_with(['[', '<', '#', '|']))?;
        let word = encoder.join(vec![token]).trim().to_owned();
        word.chars().all(char::is_alphanumeric).then_some(word).filter(|word| !word.is_empty())
    };
    ids.filter_map(word).collect()
}

/// A feature of a row: of any sign and size as far as the type goes. The first row's are 1, as in the
/// warm-up's sample.
pub(super) fn number(data_type: DataType, row: usize, column: usize) -> f64 {
    if row == 0 {
        return 1.0;
    }
    let mut random = fastrand::Rng::with_seed((row * 1009 + column) as u64);
    match data_type {
        DataType::Bool => f64::from(u8::from(random.bool())),
        // They may be numbers of categories, of which there are few.
        DataType::U8 | DataType::U16 | DataType::U32 | DataType::U64 => random.u8(..3).into(),
        DataType::I8 | DataType::I16 | DataType::I32 | DataType::I64 => random.u8(..3).into(),
        _ => {
            let size = [0.5, 8.0, 0.1, 40.0][row % 4];
            (2.0 * random.f64() - 1.0) * size
        }
    }
}

/// The same in rows of zeros, of which the first stays one.
pub(super) fn fill(tensor: &mut Tensor) {
    let (data_type, rows) = (tensor.data_type(), tensor.shape().first().copied().unwrap_or(0));
    macro_rules! fill {
        ($($variant:ident: $from:expr),+) => {
            match tensor {
                $(Tensor::$variant(array) => {
                    let columns = array.len().checked_div(rows).unwrap_or(0).max(1);
                    for (index, element) in array.iter_mut().enumerate().skip(columns) {
                        *element = $from(number(data_type, index / columns, index % columns));
                    }
                })+
                // Made-up strings may be refused.
                _ => {}
            }
        };
    }
    fill!(
        Bool: |v| v != 0.0, U8: |v| v as u8, U16: |v| v as u16, U32: |v| v as u32, U64: |v| v as u64,
        I8: |v| v as i8, I16: |v| v as i16, I32: |v| v as i32, I64: |v| v as i64,
        F16: half::f16::from_f64, BF16: half::bf16::from_f64, F32: |v| v as f32, F64: |v| v
    );
}

/// Small pictures of coloured noise, each of its own colour and contrast.
pub(super) fn images(count: usize) -> Input {
    let image = |row: usize| {
        let mut random = fastrand::Rng::with_seed(row as u64 + 1);
        let colour = [(); 3].map(|()| random.u8(..));
        let contrast = [255, 40, 120][row % 3];
        let mut noise = |channel: usize| {
            let around = u16::from(colour[channel]) * (255 - contrast) / 255;
            (around + u16::from(random.u8(..)) * contrast / 255).min(255) as u8
        };
        let pixels: Vec<u8> = (0..SIDE * SIDE * 3).map(|index| noise(index % 3)).collect();
        let source = ImageSource::File(bitmap(&pixels), None);
        Image { field: "image".into(), source }
    };
    Input::Images((0..count).map(image).collect())
}

/// A BMP of 24 bits a pixel, whose rows need no filling up.
fn bitmap(pixels: &[u8]) -> Bytes {
    const HEADERS: u32 = 54;
    let (side, size) = (SIDE as u32, pixels.len() as u32);
    let mut file = b"BM".to_vec();
    for number in [HEADERS + size, 0, HEADERS, 40, side, side, 24 << 16 | 1, 0, size, 0, 0, 0, 0] {
        file.extend(number.to_le_bytes());
    }
    file.extend(pixels);
    file.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::image::{ImageLimits, decode};

    #[test]
    fn pictures_can_be_decoded_and_differ() {
        let Input::Images(images) = images(3) else { panic!() };
        let limits = ImageLimits { max_side: 100, max_pixels: 10_000 };
        let pixels = images.iter().map(|image| {
            let ImageSource::File(file, _) = &image.source else { panic!() };
            decode(file, &limits, |_, _| 8.0).unwrap().pixels.into_raw()
        });
        let pixels: Vec<Vec<u8>> = pixels.collect();
        assert!(pixels[0] != pixels[1] && pixels[1] != pixels[2]);
    }
}

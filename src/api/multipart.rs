//! `multipart/form-data`: files are images; `text`, `features`, `model` and parameters are fields.

mod parts;

use bytes::Bytes;

use super::cells::features;
use super::envelope::{PARAMETERS, reading, set_parameter};
use super::predict::{Prepared, Target, find_model, set_model};
use crate::config::Limits;
use crate::error::{Error, ErrorKind, excerpt, one_of};
use crate::meter::Meter;
use crate::model::repository::Lookup;
use crate::tasks::{Image, ImageSource, Input, InputKind, Parameters, Reading, Text};
use parts::{Part, Parts};

/// Names under which a file may come.
const FILES: [&str; 4] = ["image", "images", "file", "files"];

/// Names of the parts that are no files.
const FIELDS: [&str; 3] = ["text", "features", "model"];

/// Reads a form, which is a body and its boundary.
///
/// # Errors
/// A body that is no multipart, an unknown field, inputs of several kinds, too many parts.
pub fn parse(
    (body, boundary): (&Bytes, &str),
    mut target: Target,
    mut parameters: Parameters,
    limits: &Limits,
    lookup: &Lookup,
    meter: &Meter<'_>,
) -> Result<Prepared, Error> {
    let (mut images, mut texts, mut rows) = (Vec::new(), Vec::new(), None);
    let most = limits.max_images.max(limits.max_texts) + PARAMETERS.len() + 2;
    let mut parts = Parts::new(body, boundary)?;
    let mut count = 0;
    while let Some(Part { name, is_file, image, content }) = parts.next_part()? {
        count += 1;
        if count > most {
            let expected = format!("at most {most} parts");
            return Err(Error::too_large("body", expected, "more"));
        }
        meter.step()?;
        match name.as_str() {
            name if is_file || FILES.contains(&name) => {
                let field = format!("{}[{}]", excerpt(name), images.len());
                meter.room(&mut images, || 1)?;
                images.push(Image { field, source: ImageSource::File(content, image) });
            }
            "text" => {
                let field = format!("text[{}]", texts.len());
                let text = utf8(&content, "text")?;
                meter.take(text.len())?;
                meter.room(&mut texts, || 1)?;
                texts.push(Text { field, text: text.to_owned(), pair: None });
            }
            "features" => rows = Some(content),
            "model" => set_model(&mut target, utf8(&content, "model")?)?,
            name => {
                if !set_parameter(&mut parameters, name, utf8(&content, name)?)? {
                    let known = FILES.into_iter().chain(FIELDS).chain(PARAMETERS);
                    let expected = one_of(name, known);
                    return Err(Error::invalid(excerpt(name), expected, "an unknown part"));
                }
            }
        }
    }
    let kind = match (images.is_empty(), texts.is_empty(), rows.is_none()) {
        (false, true, true) => InputKind::Image,
        (true, false, true) => InputKind::Text,
        (true, true, false) => InputKind::Features,
        (true, true, true) => {
            let expected = "a part with a file (`image`), `text` or `features`";
            return Err(Error::invalid("body", expected, "none of them"));
        }
        _ => return Err(Error::invalid("body", "one kind of input", "several kinds")),
    };
    let model = find_model(lookup, &target, Some(kind))?;
    model.check_kind(kind)?;
    let input = match rows {
        _ if kind == InputKind::Image => Input::Images(images),
        Some(rows) => {
            let json = utf8(&rows, "features")?;
            let read = |reading: Reading<'_>| features("features", json, reading);
            Input::Features(reading(&model, lookup.repository(), meter, read)?)
        }
        None => Input::Texts(texts),
    };
    Ok(Prepared { model, input, parameters })
}

fn utf8<'a>(content: &'a Bytes, name: &str) -> Result<&'a str, Error> {
    std::str::from_utf8(content)
        .map_err(|_| Error::field(ErrorKind::Syntax, excerpt(name), "text in UTF-8", "other bytes"))
}

//! `multipart/form-data`: files are images; `text`, `features`, `model` and parameters are fields.

use std::convert::Infallible;

use bytes::Bytes;
use multer::{Field, Multipart};

use super::App;
use super::cells::features;
use super::envelope::{PARAMETERS, set_parameter};
use super::predict::{Prepared, Target, set_model, with_model};
use crate::error::{Error, ErrorKind, excerpt, one_of};
use crate::tasks::{Image, ImageSource, Input, Parameters, Text};

/// Names under which a file may come.
const FILES: [&str; 4] = ["image", "images", "file", "files"];

/// Names of the parts that are no files.
const FIELDS: [&str; 3] = ["text", "features", "model"];

/// # Errors
/// A body that is no multipart, an unknown field, inputs of several kinds, too many parts.
pub async fn parse(
    body: Bytes,
    boundary: &str,
    mut target: Target,
    mut parameters: Parameters,
    app: &App,
) -> Result<Prepared, Error> {
    let stream = futures_util::stream::once(async move { Ok::<_, Infallible>(body) });
    let mut parts = Multipart::new(stream, boundary);
    let (mut images, mut texts, mut rows) = (Vec::new(), Vec::new(), None);
    let most = app.limits.max_images.max(app.limits.max_texts) + PARAMETERS.len() + 2;
    let mut count = 0;
    while let Some(part) = parts.next_field().await.map_err(|error| broken(&error))? {
        count += 1;
        if count > most {
            let expected = format!("at most {most} parts");
            return Err(Error::too_large("body", expected, "more"));
        }
        let name = part.name().unwrap_or_default().to_owned();
        let file_name = part.file_name().map(ToOwned::to_owned);
        match name.as_str() {
            _ if file_name.is_some() || FILES.contains(&name.as_str()) => {
                let field = format!("{name}[{}]", images.len());
                // `application/octet-stream` is what clients say when they do not know.
                let media = part.content_type().filter(|media| media.type_() == mime::IMAGE);
                let media = media.map(|media| media.essence_str().to_owned());
                let file = part.bytes().await.map_err(|error| broken(&error))?;
                images.push(Image { field, source: ImageSource::File(file, media) });
            }
            "text" => {
                let field = format!("text[{}]", texts.len());
                texts.push(Text { field, text: utf8(part, "text").await?, pair: None });
            }
            "features" => rows = Some(features("features", &utf8(part, "features").await?)?),
            "model" => set_model(&mut target, utf8(part, "model").await?)?,
            _ => {
                let value = utf8(part, &name).await?;
                if !set_parameter(&mut parameters, &name, &value)? {
                    let known = FILES.into_iter().chain(FIELDS).chain(PARAMETERS);
                    let expected = one_of(&name, known);
                    return Err(Error::invalid(excerpt(&name), expected, "an unknown part"));
                }
            }
        }
    }
    let input = match (images.is_empty(), texts.is_empty(), rows) {
        (false, true, None) => Input::Images(images),
        (true, false, None) => Input::Texts(texts),
        (true, true, Some(features)) => Input::Features(features),
        (true, true, None) => {
            let expected = "a part with a file (`image`), `text` or `features`";
            return Err(Error::invalid("body", expected, "none of them"));
        }
        _ => return Err(Error::invalid("body", "one kind of input", "several kinds")),
    };
    with_model(app.repository()?, &target, input, parameters)
}

async fn utf8(part: Field<'_>, name: &str) -> Result<String, Error> {
    let bytes = part.bytes().await.map_err(|error| broken(&error))?;
    String::from_utf8(bytes.to_vec())
        .map_err(|_| Error::field(ErrorKind::Syntax, excerpt(name), "text in UTF-8", "other bytes"))
}

fn broken(error: &multer::Error) -> Error {
    Error::field(ErrorKind::Syntax, "body", "multipart/form-data", error.to_string())
}

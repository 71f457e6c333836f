//! Several inputs as one, and a part of that again.

use std::ops::Range;

use super::is_small;
use crate::tasks::{Features, Input};

/// Appends `more` to `input`, or gives it back if the two do not go together: other kinds, other
/// columns, or images, of which each is enough work for itself.
///
/// # Errors
/// `more`, unchanged.
pub fn join(input: &mut Input, more: Input) -> Result<(), Input> {
    if !is_small(more.kind()) {
        return Err(more);
    }
    match (input, more) {
        (Input::Texts(texts), Input::Texts(more)) => texts.extend(more),
        (Input::Features(all), Input::Features(more))
            if all.field == more.field && all.cells.goes_with(&more.cells) =>
        {
            all.cells.append(more.cells);
        }
        (_, more) => return Err(more),
    }
    Ok(())
}

/// A copy of some of the items.
pub fn part(input: &Input, items: Range<usize>) -> Input {
    match input {
        Input::Images(images) => Input::Images(images[items].to_vec()),
        Input::Texts(texts) => Input::Texts(texts[items].to_vec()),
        Input::Features(Features { field, cells }) => {
            Input::Features(Features { field: field.clone(), cells: cells.part(items) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{Cells, Column, Image, ImageSource, Text};

    fn features(cells: Cells) -> Input {
        Input::Features(Features { field: "features".into(), cells })
    }

    fn rows(values: &[f64], columns: usize) -> Input {
        let rows = values.len() / columns;
        features(Cells::Rows { values: values.to_vec().into(), columns, rows })
    }

    fn named(age: &[f64], sex: &[&str]) -> Input {
        let sex = sex.iter().map(|text| Some((*text).to_owned())).collect();
        let columns = vec![
            ("age".to_owned(), Column::Numbers(age.to_vec().into())),
            ("sex".to_owned(), Column::Texts(sex)),
        ];
        features(Cells::Columns { columns, rows: age.len(), records: false })
    }

    #[test]
    fn what_was_joined_can_be_taken_apart() {
        let mut all = rows(&[1.0, 2.0], 2);
        assert!(join(&mut all, rows(&[3.0, 4.0, 5.0, 6.0], 2)).is_ok());
        assert_eq!(all, rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2));
        assert_eq!(part(&all, 1..3), rows(&[3.0, 4.0, 5.0, 6.0], 2));

        let mut all = named(&[22.0], &["male"]);
        assert!(join(&mut all, named(&[38.0], &["female"])).is_ok());
        assert_eq!(all, named(&[22.0, 38.0], &["male", "female"]));
        assert_eq!(part(&all, 1..2), named(&[38.0], &["female"]));
    }

    #[test]
    fn other_columns_other_kinds_and_images_stay_apart() {
        let text =
            || Input::Texts(vec![Text { field: "text".into(), text: "a".into(), pair: None }]);
        let image = || {
            let source = ImageSource::Base64("AA==".into());
            Input::Images(vec![Image { field: "image".into(), source }])
        };
        let mut all = rows(&[1.0, 2.0], 2);
        for other in [rows(&[1.0], 1), named(&[1.0], &["male"]), text(), image()] {
            assert_eq!(join(&mut all, other.clone()), Err(other));
        }
        assert_eq!(all, rows(&[1.0, 2.0], 2));
        assert_eq!(join(&mut image(), image()), Err(image()));
        assert!(join(&mut text(), text()).is_ok());
    }
}

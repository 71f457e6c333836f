//! The requests that a model is tuned with.

use crate::tasks::{Features, Input};

/// Inputs of one item each, asked in turn.
pub struct Inputs {
    inputs: Vec<Input>,
    asked: usize,
}

impl Inputs {
    /// `None` of no inputs.
    #[must_use]
    pub fn new(inputs: Vec<Input>) -> Option<Self> {
        (!inputs.is_empty()).then_some(Self { inputs, asked: 0 })
    }

    #[must_use]
    pub fn all(&self) -> &[Input] {
        &self.inputs
    }

    /// Up to `count` of them, evenly over all.
    #[must_use]
    pub fn some(&self, count: usize) -> Vec<Input> {
        let count = count.min(self.inputs.len());
        (0..count).map(|index| self.inputs[index * self.inputs.len() / count].clone()).collect()
    }

    /// The next one. Each is of a field of its own, which changes no answer, but equal requests in
    /// flight would share a run.
    pub fn next_request(&mut self) -> Input {
        let mut input = self.inputs[self.asked % self.inputs.len()].clone();
        self.asked += 1;
        let name = self.asked.to_string();
        let fields: Vec<&mut String> = match &mut input {
            Input::Images(images) => images.iter_mut().map(|image| &mut image.field).collect(),
            Input::Texts(texts) => texts.iter_mut().map(|text| &mut text.field).collect(),
            Input::Features(features) => vec![&mut features.field],
        };
        for field in fields {
            field.clone_from(&name);
        }
        input
    }
}

/// The same input as several items of one request.
#[must_use]
pub fn repeated(input: &Input, times: usize) -> Input {
    match input {
        Input::Images(images) => Input::Images(cycle(images, times)),
        Input::Texts(texts) => Input::Texts(cycle(texts, times)),
        Input::Features(Features { field, cells }) => {
            Input::Features(Features { field: field.clone(), cells: cells.repeated(times) })
        }
    }
}

fn cycle<T: Clone>(items: &[T], times: usize) -> Vec<T> {
    items.iter().cycle().take(items.len() * times).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::{Cells, Column, Text};

    fn text(text: &str) -> Input {
        Input::Texts(vec![Text { field: "text".into(), text: text.into(), pair: None }])
    }

    #[test]
    fn no_two_requests_are_the_same_and_their_content_is() {
        let mut inputs = Inputs::new(vec![text("a"), text("b")]).unwrap();
        let asked: Vec<Input> = (0..4).map(|_| inputs.next_request()).collect();
        for (index, input) in asked.iter().enumerate() {
            assert!(!asked[..index].contains(input));
            let Input::Texts(texts) = input else { panic!("{input:?}") };
            assert_eq!(texts[0].text, ["a", "b"][index % 2]);
        }
        assert!(Inputs::new(Vec::new()).is_none());
    }

    #[test]
    fn some_of_them_are_taken_from_all_over() {
        let inputs = Inputs::new(["a", "b", "c", "d"].map(text).to_vec()).unwrap();
        assert_eq!(inputs.some(2), [text("a"), text("c")]);
        assert_eq!(inputs.some(9).len(), 4);
    }

    #[test]
    fn an_input_is_repeated_in_every_form() {
        let rows = Cells::Rows { values: vec![1.0, 2.0].into(), columns: 2, rows: 1 };
        let column = |values: &[f64]| ("x".to_owned(), Column::Numbers(values.to_vec().into()));
        let columns = Cells::Columns { columns: vec![column(&[1.0])], rows: 1, records: false };
        let three = |cells| {
            let features = Features { field: "features".into(), cells };
            match repeated(&Input::Features(features), 3) {
                Input::Features(features) => features.cells,
                other => panic!("{other:?}"),
            }
        };
        let values = vec![1.0, 2.0, 1.0, 2.0, 1.0, 2.0].into();
        assert_eq!(three(rows), Cells::Rows { values, columns: 2, rows: 3 });
        let three_of = vec![column(&[1.0; 3])];
        let columns_of_three = Cells::Columns { columns: three_of, rows: 3, records: false };
        assert_eq!(three(columns), columns_of_three);
        assert_eq!(repeated(&text("a"), 3).len(), 3);
    }
}

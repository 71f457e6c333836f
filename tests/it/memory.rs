//! Working memory of models that nobody asks.

use onnxd::model::Terms;
use onnxd::tasks::{Input, Parameters, Text};

use crate::support::{app, default_config, root};

/// A text of so many words.
fn text(words: usize) -> Input {
    Input::Texts(vec![Text { field: "text".into(), text: "fine ".repeat(words), pair: None }])
}

#[tokio::test]
async fn an_idle_model_gives_its_working_memory_back_and_answers_as_before() {
    let app = app(&default_config(), &root().join("models"), Some("sentiment-minilm")).unwrap();
    let model = app.repository().unwrap().find("sentiment-minilm", None).unwrap();
    let ask = || model.predict(text(250), Parameters::default(), Terms::default());
    let before = ask().await.unwrap().predictions;
    let working = model.working_memory();
    model.rest_if_idle();
    assert_eq!(model.working_memory(), working, "it has run since it was looked at last");
    model.rest_if_idle();
    assert!(model.working_memory() < working, "{} of {working}", model.working_memory());
    assert_eq!(ask().await.unwrap().predictions, before);
    assert!(model.working_memory() >= working / 2, "what a run needs is taken anew");
}

//! Embeddings of texts and labels of tokens answer as sentence-transformers and transformers do. The
//! values in `tests/reference/text_tasks.json` are made by `tests/reference/text_tasks.py`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{
    Answer, Edge, Folder, Server, app, assert_same, default_config, fixture, onnxd, root, send,
};

/// How far a number of an embedding or a score may be off.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Reference {
    texts: Vec<String>,
    /// By fixture.
    embeddings: BTreeMap<String, Vec<Vec<f64>>>,
    /// By how `sentence-transformers-bert` is told to pool.
    pooling: BTreeMap<String, Vec<Vec<f64>>>,
    prompt: Vec<Vec<f64>>,
    prompt_left_out: Vec<Vec<f64>>,
    max_seq_length: Vec<Vec<f64>>,
    /// By fixture.
    entities: BTreeMap<String, Vec<Vec<Expected>>>,
}

#[derive(Debug, Deserialize)]
struct Expected {
    entity: String,
    word: String,
    start: usize,
    end: usize,
    score: f64,
}

fn reference() -> Reference {
    let path = root().join("tests/reference/text_tasks.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

const BERT: &str = "sentence-transformers-bert";

/// A folder `m` of the fixture's files.
fn copied(fixture: &str) -> Folder {
    fn copy(folder: &Folder, from: &Path, to: &str) {
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = format!("{to}/{}", entry.file_name().into_string().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => copy(folder, &entry.path(), &to),
                false => drop(folder.copy(entry.path(), &to)),
            }
        }
    }
    let folder = Folder::new();
    copy(&folder, &root().join("tests/fixtures/models").join(fixture), "m");
    folder
}

/// The fixture with some of its files in another form.
async fn changed(fixture: &str, files: &[(&str, String)]) -> Server {
    let folder = copied(fixture);
    for (file, text) in files {
        folder.write(&format!("m/{file}"), text);
    }
    Server::start(folder.load().unwrap_or_else(|error| panic!("{error:#}"))).await
}

/// What the start says of the fixture with these files.
fn refused(fixture: &str, files: &[(&str, &str)]) -> String {
    let folder = copied(fixture);
    for (file, text) in files {
        folder.write(&format!("m/{file}"), text);
    }
    format!("{:#}", folder.load().err().expect("it should not start"))
}

fn modules(names: &[&str]) -> String {
    let paths = BTreeMap::from([("Transformer", ""), ("Pooling", "1_Pooling")]);
    let module = |(index, name): (usize, &&str)| {
        let class = format!("sentence_transformers.models.{name}");
        let path = paths.get(name).map_or_else(|| format!("{index}_{name}"), |p| (*p).to_owned());
        json!({"idx": index, "name": index.to_string(), "path": path, "type": class})
    };
    json!(names.iter().enumerate().map(module).collect::<Vec<_>>()).to_string()
}

#[track_caller]
fn same_embedding(entry: &Value, expected: &[f64], of: &str) {
    let got = entry["embedding"].as_array().unwrap_or_else(|| panic!("{entry}"));
    assert_eq!(got.len(), expected.len(), "{of}");
    for (got, expected) in got.iter().zip(expected) {
        let difference = (got.as_f64().unwrap() - expected).abs();
        assert!(difference <= TOLERANCE, "{of}: {got}, expected {expected}");
    }
}

#[track_caller]
fn same_entities(entry: &Value, expected: &[Expected], of: &str) {
    let got = entry["entities"].as_array().unwrap_or_else(|| panic!("{entry}"));
    assert_eq!(got.len(), expected.len(), "{of}: {entry}");
    for (got, expected) in got.iter().zip(expected) {
        let place = (got["start"].as_u64().unwrap(), got["end"].as_u64().unwrap());
        assert_eq!(place, (expected.start as u64, expected.end as u64), "{of}: {got}");
        assert_eq!(got["entity"], expected.entity.as_str(), "{of}: {got}");
        assert_eq!(got["word"], expected.word.as_str(), "{of}: {got}");
        let difference = (got["score"].as_f64().unwrap() - expected.score).abs();
        assert!(difference <= TOLERANCE, "{of}: {got}, expected {expected:?}");
    }
}

/// Each text alone; all of them in one list, whose rows go into several runs of different lengths; and
/// all callers at once, whose rows share runs.
async fn ask(server: Server, path: &str, texts: &[String]) -> Vec<Vec<Answer>> {
    let server = Arc::new(server);
    let mut alone = Vec::new();
    for text in texts {
        alone.push(server.json(path, json!({ "text": text })).await);
    }
    let list = server.json(path, json!({ "text": texts })).await;
    let callers = texts.iter().map(|text| {
        // In twos, so that a request's rows can also be parted.
        let (server, path, body) = (server.clone(), path.to_owned(), json!({"text": [text, "x"]}));
        tokio::spawn(async move { server.json(&path, body).await })
    });
    let mut crowd = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        crowd.push(caller.await.unwrap());
    }
    vec![alone, vec![list], crowd]
}

async fn embeds(server: Server, path: &str, expected: &[Vec<f64>]) {
    let texts = reference().texts;
    let asked = ask(server, path, &texts).await;
    let [alone, list, crowd] = asked.as_slice() else { unreachable!() };
    assert_eq!(list[0].result().len(), texts.len());
    for (index, (text, expected)) in texts.iter().zip(expected).enumerate() {
        same_embedding(&alone[index].result()[0], expected, text);
        same_embedding(&list[0].result()[index], expected, text);
        same_embedding(&crowd[index].result()[0], expected, text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_match_sentence_transformers() {
    let reference = reference();
    assert_eq!(reference.embeddings.len(), 3);
    for (name, expected) in &reference.embeddings {
        let app = fixture(name).unwrap_or_else(|error| panic!("{error:#}"));
        embeds(Server::start(app).await, &format!("/predict/{name}"), expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_pooling_matches_in_either_form_of_its_file() {
    let reference = reference();
    assert_eq!(reference.pooling.len(), 7);
    let without_normalize = ("modules.json", modules(&["Transformer", "Pooling"]));
    for (name, expected) in &reference.pooling {
        let modes: Vec<&str> = name.split('+').collect();
        let newer = json!({ "pooling_mode": modes }).to_string();
        let flags = modes.iter().map(|mode| match *mode {
            "mean_sqrt_len_tokens" | "lasttoken" => format!("\"pooling_mode_{mode}\": true"),
            "cls" => "\"pooling_mode_cls_token\": true".to_owned(),
            mode => format!("\"pooling_mode_{mode}_tokens\": true"),
        });
        let older = format!("{{{}}}", flags.collect::<Vec<_>>().join(", "));
        for file in [newer, older] {
            let files = [without_normalize.clone(), ("1_Pooling/config.json", file)];
            embeds(changed(BERT, &files).await, "/predict/m", expected).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_prompt_stands_before_every_text() {
    let file = r#"{"prompts": {"query": "query: "}, "default_prompt_name": "query"}"#;
    let server = changed(BERT, &[("config_sentence_transformers.json", file.to_owned())]).await;
    embeds(server, "/predict/m", &reference().prompt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_may_be_left_out_of_the_pooling() {
    let prompts = r#"{"prompts": {"query": "query: "}, "default_prompt_name": "query"}"#;
    let pooling = r#"{"pooling_mode": "mean", "include_prompt": false}"#;
    let files = [
        ("config_sentence_transformers.json", prompts.to_owned()),
        ("1_Pooling/config.json", pooling.to_owned()),
    ];
    embeds(changed(BERT, &files).await, "/predict/m", &reference().prompt_left_out).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_are_cut_after_all_other_steps() {
    let file = r#"{"truncate_dim": 3}"#;
    let server = changed(BERT, &[("config_sentence_transformers.json", file.to_owned())]).await;
    // Of length 1 before, and not again.
    let whole = &reference().embeddings[BERT];
    let cut: Vec<Vec<f64>> = whole.iter().map(|vector| vector[..3].to_vec()).collect();
    embeds(server, "/predict/m", &cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_say_nothing_are_passed_over() {
    let with_dropout = modules(&["Transformer", "Pooling", "Dropout", "Normalize"]);
    let files = [
        (
            "config_sentence_transformers.json",
            r#"{"prompts": {"query": null, "passage": null}, "default_prompt_name": "passage"}"#,
        ),
        ("sentence_bert_config.json", r#"{"max_seq_length": null, "do_lower_case": null}"#),
        ("modules.json", &with_dropout),
    ];
    let files = files.map(|(name, content)| (name, content.to_owned()));
    embeds(changed(BERT, &files).await, "/predict/m", &reference().embeddings[BERT]).await;
    // These two are there without being saved.
    let file = r#"{"prompts": {}, "default_prompt_name": "document"}"#;
    let files = [("config_sentence_transformers.json", file.to_owned())];
    embeds(changed(BERT, &files).await, "/predict/m", &reference().embeddings[BERT]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_release_drops_the_white_space_around_a_text() {
    let folder = root().join("tests/fixtures/models").join(BERT);
    let tokenizer = std::fs::read_to_string(folder.join("tokenizer.json")).unwrap();
    let mut tokenizer: Value = serde_json::from_str(&tokenizer).unwrap();
    // One for which a space is a token, so that the setting shows.
    tokenizer["pre_tokenizer"] = Value::Null;
    let ask = async |release: &str| {
        let version = json!({"__version__": {"sentence_transformers": release}});
        let files = [
            ("tokenizer.json", tokenizer.to_string()),
            ("config_sentence_transformers.json", version.to_string()),
        ];
        let server = changed(BERT, &files).await;
        server.json("/predict/m", json!({"text": ["x", " x\n"]})).await.result().to_vec()
    };
    let (older, newer) = (ask("5.3.0").await, ask("5.4.0").await);
    assert_eq!(older[0], older[1]);
    assert_ne!(newer[0], newer[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_text_is_what_the_files_of_sentence_transformers_say() {
    let file = ("sentence_bert_config.json", r#"{"max_seq_length": 9}"#.to_owned());
    embeds(changed(BERT, &[file]).await, "/predict/m", &reference().max_seq_length).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lower_case_is_made_where_the_files_ask_for_it() {
    // A tokenizer that keeps capitals, so that the setting shows.
    let folder = root().join("tests/fixtures/models").join(BERT);
    let tokenizer = std::fs::read_to_string(folder.join("tokenizer.json")).unwrap();
    let cased = tokenizer.replace("\"lowercase\": true", "\"lowercase\": false");
    assert_ne!(cased, tokenizer);
    let ask = async |lower: bool| {
        let config = json!({ "do_lower_case": lower }).to_string();
        // BERT's own setting goes before tokenizer.json.
        let own = json!({"tokenizer_class": "BertTokenizer", "do_lower_case": false}).to_string();
        let files = [
            ("tokenizer.json", cased.clone()),
            ("tokenizer_config.json", own),
            ("sentence_bert_config.json", config),
        ];
        let server = changed(BERT, &files).await;
        let body = json!({"text": ["I LOVE THIS", "i love this"]});
        server.json("/predict/m", body).await.result().to_vec()
    };
    let (kept, lowered) = (ask(false).await, ask(true).await);
    assert_ne!(kept[0], kept[1]);
    assert_eq!(lowered[0], lowered[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn model_toml_says_how_to_pool_and_scale() {
    let ask = async |toml: &str| {
        let server = changed("optimum-bert-encoder", &[("model.toml", toml.to_owned())]).await;
        let answer = server.json("/predict/m", json!({"text": "I love this phone."})).await;
        let entry = answer.result()[0]["embedding"].clone();
        serde_json::from_value::<Vec<f64>>(entry).unwrap()
    };
    let (cls, unit) =
        (ask("pooling = \"cls\"").await, ask("pooling = \"cls\"\nnormalize = true").await);
    let length = |vector: &[f64]| vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!((length(&unit) - 1.0).abs() < TOLERANCE);
    let scale = length(&cls);
    assert!((scale - 1.0).abs() > 0.1);
    assert!(cls.iter().zip(&unit).all(|(a, b)| (a / scale - b).abs() < TOLERANCE));
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_match_the_pipeline_of_transformers() {
    let reference = reference();
    assert_eq!(reference.entities.len(), 2);
    for (name, expected) in &reference.entities {
        let app = fixture(name).unwrap_or_else(|error| panic!("{error:#}"));
        let path = format!("/predict/{name}");
        let asked = ask(Server::start(app).await, &path, &reference.texts).await;
        let [alone, list, crowd] = asked.as_slice() else { unreachable!() };
        for (index, (text, expected)) in reference.texts.iter().zip(expected).enumerate() {
            same_entities(&alone[index].result()[0], expected, text);
            same_entities(&list[0].result()[index], expected, text);
            same_entities(&crowd[index].result()[0], expected, text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_refused_by_its_field() {
    for name in [BERT, "optimum-bert-tokens"] {
        let server = Server::start(fixture(name).unwrap()).await;
        let answer = server.json(&format!("/predict/{name}"), json!({"text": [["a", "b"]]})).await;
        assert_eq!(answer.status, 422, "{}", answer.body);
        assert_eq!(answer.body["field"], "text[0]");
        assert_eq!(answer.body["expected"], "one text, which this model takes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_named_by_what_follows_the_dash() {
    let reference = reference();
    let name = reference.entities.keys().next().unwrap();
    let path = root().join("tests/fixtures/models").join(name).join("config.json");
    let config = std::fs::read_to_string(path).unwrap();
    // As in BIOES, of which transformers knows no more than the dash.
    let server = changed(name, &[("config.json", config.replace("\"B-", "\"S-"))]).await;
    let answer = server.json("/predict/m", json!({"text": reference.texts})).await;
    let names: Vec<&str> = answer
        .result()
        .iter()
        .flat_map(|entry| entry["entities"].as_array().unwrap())
        .map(|entity| entity["entity"].as_str().unwrap())
        .collect();
    assert!(
        !names.is_empty() && names.iter().all(|name| ["PER", "LOC", "ORG"].contains(name)),
        "{names:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_and_entities_come_through_v2_as_well() {
    let texts = json!([{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a b", "c"]}]);
    for (name, output, datatype) in
        [(BERT, "embedding", "FP32"), ("optimum-bert-tokens", "entities", "BYTES")]
    {
        let server = Server::start(fixture(name).unwrap()).await;
        let plain = server.json(&format!("/predict/{name}"), json!({"text": ["a b", "c"]})).await;
        let path = format!("/v2/models/{name}/infer");
        let answer = server.json(&path, json!({ "inputs": texts })).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let tensor = &answer.body["outputs"][0];
        assert_eq!((&tensor["name"], &tensor["datatype"]), (&json!(output), &json!(datatype)));
        let data = tensor["data"].as_array().unwrap();
        let rows: Vec<Value> = match output {
            "entities" => data
                .iter()
                .map(|row| serde_json::from_str(row.as_str().unwrap()).unwrap())
                .collect(),
            _ => data.chunks(data.len() / 2).map(|row| json!(row)).collect(),
        };
        assert_eq!(json!(rows[0]), plain.result()[0][output]);
        assert_eq!(json!(rows[1]), plain.result()[1][output]);
    }
    // The network's own output is there unpooled.
    let server = Server::start(fixture(BERT).unwrap()).await;
    let input =
        |name| json!({"name": name, "shape": [1, 3], "datatype": "INT64", "data": [2, 5, 3]});
    let inputs = ["input_ids", "attention_mask", "token_type_ids"].map(|name| match name {
        "input_ids" => input(name),
        _ => json!({"name": name, "shape": [1, 3], "datatype": "INT64", "data": [1, 1, 1]}),
    });
    let path = format!("/v2/models/{BERT}/infer");
    let answer = server.json(&path, json!({ "inputs": inputs })).await;
    assert_eq!(answer.body["outputs"][0]["shape"], json!([1, 3, 32]), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn hugging_faces_form_answers_as_their_pipelines_do() {
    let (text, reference) = ("I love this phone.", reference());
    for name in [BERT, "optimum-bert-tokens"] {
        let server = Server::start(fixture(name).unwrap()).await;
        let path = format!("/models/{name}");
        let one = server.json(&path, json!({ "inputs": text })).await;
        let list = server.json(&path, json!({ "inputs": [text] })).await;
        assert_eq!((one.status, list.status), (200, 200), "{} {}", one.body, list.body);
        assert_same(&list.body, &json!([one.body]));
        if name == BERT {
            same_embedding(&json!({ "embedding": one.body }), &reference.embeddings[name][0], text);
        } else {
            let expected = &reference.entities[name][0][0];
            assert_eq!(one.body[0]["entity_group"], expected.entity.as_str(), "{}", one.body);
            assert_eq!(one.body[0]["end"], json!(expected.end), "{}", one.body);
        }
    }
}

#[tokio::test]
async fn what_the_files_ask_for_and_is_not_served_stops_the_start() {
    let mode = r#"{"pooling_mode": "median"}"#;
    let prompt = r#"{"prompts": {}, "default_prompt_name": "question"}"#;
    let prompts = "config_sentence_transformers.json";
    let pooling = "1_Pooling/config.json";
    for (fixture, files, told) in [
        (BERT, vec![(pooling, mode)], "1_Pooling/config.json"),
        (BERT, vec![(prompts, prompt)], "default_prompt_name is \"question\""),
        (BERT, vec![("model.toml", "pooling = \"median\"\n")], "unknown variant `median`"),
        (BERT, vec![("model.toml", "output = \"hidden\"\n")], "last_hidden_state"),
        (
            "optimum-sentence-transformer",
            vec![("model.toml", "pooling = \"mean\"\n")],
            "holds one vector a text already",
        ),
        (
            "optimum-bert-tokens",
            vec![("labels.txt", "O\nPER\n")],
            "labels.txt names 2 classes, but output `logits` has 7",
        ),
        (
            "optimum-bert",
            vec![("model.toml", "task = \"token-classification\"\n")],
            "no output holds a score for each token",
        ),
        (
            "optimum-bert",
            vec![("model.toml", "task = \"token-clasification\"\n")],
            "did you mean `token-classification`",
        ),
    ] {
        let said = refused(fixture, &files);
        assert!(said.contains(told), "{said}");
    }
}

#[tokio::test]
async fn what_no_task_does_is_served_as_tensors_and_says_why() {
    let dense = modules(&["Transformer", "Pooling", "Dense", "Normalize"]);
    let chat = r#"{"modality_config": {"text": {}, "message": {}}}"#.to_owned();
    for (file, text, told) in [
        ("modules.json", dense, "a module Dense is not served"),
        ("sentence_bert_config.json", chat, "a chat template"),
    ] {
        let server = changed(BERT, &[(file, text)]).await;
        let metadata = send(server.request("GET", "/v2/models/m")).await;
        let properties = &metadata.body["properties"];
        assert_eq!(properties["task"], "tensors", "{}", metadata.body);
        let assumed = properties["assumed"].as_str().unwrap();
        assert!(assumed.contains(told) && assumed.contains("task = \"tensors\""), "{assumed}");
    }
}

#[tokio::test]
async fn golden_inputs_hold_for_embeddings_and_entities() {
    let reference = reference();
    let text = &reference.texts[0];
    let (embedding, entity) =
        (&reference.embeddings[BERT][0], &reference.entities["optimum-bert-tokens"][0]);
    let entities = |end: usize| {
        let of = |e: &Expected| json!({"entity": e.entity, "start": e.start, "end": e.end, "score": e.score, "word": e.word});
        let mut list: Vec<Value> = entity.iter().map(of).collect();
        list[0]["end"] = json!(end);
        json!([{ "text": text, "entities": list }]).to_string()
    };
    let vector = |first: f64| {
        let mut vector = embedding.clone();
        vector[0] = first;
        json!([{ "text": text, "embedding": vector }]).to_string()
    };
    for (fixture, right, wrong, told) in [
        (BERT, vector(embedding[0]), vector(7.0), "expected embedding[0] 7"),
        ("optimum-bert-tokens", entities(entity[0].end), entities(99), "expected entities[0]"),
    ] {
        let folder = copied(fixture);
        folder.write("m/golden.json", right).load().unwrap();
        let said = refused(fixture, &[("golden.json", wrong.as_str())]);
        assert!(said.contains("golden.json") && said.contains(told), "{said}");
        let said = refused(fixture, &[("golden.json", r#"[{"text": "a", "label": "b"}]"#)]);
        assert!(said.contains("expected `e"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn they_are_no_predicted_classes() {
    for (name, task) in
        [(BERT, "feature-extraction"), ("optimum-bert-tokens", "token-classification")]
    {
        let models = root().join("tests/fixtures/models");
        let app = app(&default_config(), &models, Some(name)).unwrap();
        let edge = Edge::counting(app).await;
        let request = edge.request("POST", &format!("/predict/{name}"));
        let answer = request.json(&json!({"text": "I love this phone."})).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let Value::String(metrics) = edge.admin("/metrics").await.body else { panic!("no text") };
        let counted = format!("protocol=\"predict\",task=\"{task}\"");
        assert!(metrics.contains(&counted), "{metrics}");
        assert!(!metrics.contains("onnxd_predictions_total{"), "{metrics}");
    }
}

fn predict(model: &str, format: &str) -> Output {
    let models = root().join("tests/fixtures/models");
    let models = models.to_str().unwrap();
    let mut child = onnxd(&["predict", "--models", models, model, "-", "--format", format])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"I love this phone.\nx\n").unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn predict_prints_them_for_people_and_for_programs() {
    let reference = reference();
    let table = |model| String::from_utf8(predict(model, "table").stdout).unwrap();
    let (vectors, entities) = (table(BERT), table("optimum-bert-tokens"));
    assert!(vectors.contains("… (32 numbers)") || vectors.contains("(32 numbers)"), "{vectors}");
    assert!(entities.contains("ORG: ##ve 0.88"), "{entities}");
    let output = predict("optimum-bert-tokens", "jsonl");
    let first = String::from_utf8(output.stdout).unwrap().lines().next().unwrap().to_owned();
    let line: Value = serde_json::from_str(&first).unwrap();
    same_entities(&line["result"], &reference.entities["optimum-bert-tokens"][0], "jsonl");
}

//! `onnxd evaluate`: the binary on real texts, photos and features.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use crate::support::{Folder, onnxd, root};

fn evaluate(arguments: &[&str]) -> Output {
    onnxd(&[&["evaluate"], arguments].concat()).output().unwrap()
}

#[track_caller]
fn json(arguments: &[&str]) -> Value {
    let output = evaluate(&[arguments, &["--format", "json"]].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Exit status and standard error of a run that fails.
#[track_caller]
fn failure(arguments: &[&str]) -> (Option<i32>, String) {
    let output = evaluate(arguments);
    assert!(!output.status.success(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn metric(report: &Value, name: &str) -> f64 {
    report["metrics"][name].as_f64().unwrap_or_else(|| panic!("no {name}: {}", report["metrics"]))
}

fn path(folder: &Folder, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

/// The first held-out sentences.
fn sentences(folder: &Folder, count: usize) -> String {
    let all = fs::read_to_string(root().join("models/eval/sentiment.tsv")).unwrap();
    let some: Vec<&str> = all.lines().take(count + 1).collect();
    folder.write("some.tsv", some.join("\n"));
    path(folder, "some.tsv")
}

/// The page fetches nothing and runs nothing.
#[track_caller]
fn check_page(file: &str) -> String {
    let page = fs::read_to_string(file).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"), "{page}");
    for outside in ["http://", "https://", "<script", "<link", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}: {page}");
    }
    let sources = page.match_indices("src=\"").map(|(at, _)| &page[at + 5..]);
    assert!(sources.clone().all(|uri| uri.starts_with("data:image/jpeg;base64,")), "{page}");
    assert!(page.contains("prefers-color-scheme: dark"), "{page}");
    page
}

#[test]
fn the_figures_in_the_models_readme_are_those_that_evaluate_gives() {
    let data = "models/eval/sentiment.tsv";
    let report = json(&["sentiment-minilm", data, "--against", "sentiment-minilm/model.onnx"]);
    assert_eq!((&report["items"], &report["failed"]), (&2000.into(), &0.into()));
    assert_eq!(report["model"]["file"], "model.int8.onnx");
    assert_eq!(report["against"]["model"]["file"], "model.onnx");

    let readme = fs::read_to_string(root().join("models/README.md")).unwrap();
    let stated = |begin: &str, columns: [usize; 2]| {
        let line = readme.lines().find(|line| line.starts_with(begin)).unwrap();
        let cells: Vec<&str> = line.split('|').collect();
        columns.map(|column| cells[column].trim().trim_matches('*').parse::<f64>().unwrap())
    };
    let of = |file: &str| stated(&format!("| {file} |"), [2, 3]);
    // Other processors round otherwise, which may move one or two sentences.
    let near = |what: &str, got: f64, stated: f64| {
        assert!((got - stated).abs() < 0.0016, "{what}: {got}, stated {stated}");
    };
    for (report, file) in [(&report, "**static int8 (shipped)**"), (&report["against"], "float32")]
    {
        let [accuracy, f1] = of(file);
        near(&format!("{file}: accuracy"), metric(report, "accuracy"), accuracy);
        near(&format!("{file}: macro F1"), metric(report, "macro_f1"), f1);
    }
    assert!(readme.contains("int8 gives float32's answer on 97.5 % of these sentences"));
    near("agreement", metric(&report, "agreement"), 0.975);
    let test = &report["against"]["mcnemar"];
    assert!(test["p_value"].as_f64().unwrap() > 0.5, "{test}");
    let differences = report["against"]["differences"].as_array().unwrap();
    assert_eq!(report["against"]["differ"], differences.len());
    assert!(differences.iter().all(|item| item["prediction"] != item["other_prediction"]));
}

#[test]
fn every_prediction_is_written_in_order_and_adds_up_to_the_figures() {
    let folder = Folder::new();
    let (data, file) = (sentences(&folder, 200), path(&folder, "out.jsonl"));
    let page = path(&folder, "report.html");
    let report = json(&["sentiment-minilm", &data, "--predictions", &file, "--html", &page]);
    let lines: Vec<Value> = fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 200);
    let names = ["negative", "neutral", "positive"];
    let (mut right, mut loss) = (0, 0.0);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line["input"], format!("{data}:{}", index + 2));
        let scores: Vec<f64> =
            line["scores"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap()).collect();
        let best = (0..3).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
        assert_eq!(line["prediction"], names[best]);
        let label = names.iter().position(|name| line["label"] == *name).unwrap();
        right += usize::from(best == label);
        loss -= scores[label].ln();
    }
    assert!((metric(&report, "accuracy") - right as f64 / 200.0).abs() < 1e-12);
    assert!((metric(&report, "log_loss") - loss / 200.0).abs() < 1e-6);
    let page = check_page(&page);
    for words in ["Confusion", "Calibration", "macro F1", "Worst mistakes", "<svg"] {
        assert!(page.contains(words), "{words}: {page}");
    }
}

#[test]
fn photos_in_folders_by_class_are_evaluated_and_the_page_shows_the_mistakes() {
    let folder = Folder::new();
    // By name, by number and as people write it; one label is wrong.
    for (class, photo) in [
        ("espresso", "jpeg-coffee.jpg"),
        ("967", "webp-lossy-coffee.webp"),
        ("Missile", "jpeg-rocket.jpg"),
        ("palace", "jpeg-china.jpg"),
        ("espresso", "jpeg-flower.jpg"),
    ] {
        folder.copy(format!("tests/fixtures/images/{photo}"), &format!("data/{class}/{photo}"));
    }
    let (data, page) = (path(&folder, "data"), path(&folder, "report.html"));
    let report = json(&["efficientnet-lite0", &data, "--html", &page]);
    assert_eq!(report["items"], 5);
    assert!(metric(&report, "accuracy") >= 0.6, "{report}");
    assert!(metric(&report, "top5_accuracy") >= metric(&report, "accuracy"));
    let mistakes = report["mistakes"].as_array().unwrap();
    assert!(mistakes[0]["input"].as_str().unwrap().ends_with("espresso/jpeg-flower.jpg"));
    assert_eq!(mistakes[0]["label"], "espresso");
    assert!(check_page(&page).contains("data:image/jpeg;base64,"));

    // A file that is no image fails by name, and the others still count.
    folder.write("data/palace/broken.jpg", "no image");
    let output = evaluate(&["efficientnet-lite0", &data]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("palace/broken.jpg") && said.contains("1 items failed"), "{said}");
    let report = json(&["efficientnet-lite0", &data, "--skip-bad"]);
    assert_eq!((&report["items"], &report["failed"]), (&5.into(), &1.into()));

    // The same photos by a table of paths.
    let table = "path,label\nespresso/jpeg-coffee.jpg,espresso\nMissile/jpeg-rocket.jpg,missile\n";
    folder.write("data/photos.csv", table);
    let report = json(&["efficientnet-lite0", &path(&folder, "data/photos.csv")]);
    assert_eq!((report["items"].as_u64(), metric(&report, "accuracy")), (Some(2), 1.0));
}

#[test]
fn a_table_for_people_and_bars_for_pipelines() {
    let data = "models/eval/iris.csv";
    let bars = ["--min", "accuracy=0.91", "--max", "log_loss=0.3", "--min", "macro_f1=0.9"];
    let output = evaluate(&[&["iris", data], &bars[..]].concat());
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    for words in ["45 items of", "0.9111", "versicolor", "labels by predictions", "iris.csv:"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (code, said) =
        failure(&["iris", data, "--min", "accuracy=0.95", "--max", "ece=0.5", "--max", "mcc=0.1"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("missed: accuracy is 0.911111, which should be at least 0.95"), "{said}");
    assert!(said.contains("missed: mcc is ") && !said.contains("missed: ece"), "{said}");

    let (code, said) = failure(&["iris", data, "--min", "acuracy=0.95"]);
    assert_eq!(code, Some(78));
    assert!(said.contains("did you mean `accuracy`?"), "{said}");
    // Of three classes there is no top-5, so that a bar on it cannot be cleared.
    let (code, said) = failure(&["iris", data, "--min", "top5_accuracy=0.1"]);
    assert_eq!((code, said.contains("these scores have none")), (Some(1), true), "{said}");
    assert_eq!(failure(&["iris", data, "--min", "accuracy"]).0, Some(2));
}

#[test]
fn labels_that_match_no_class_are_listed_before_anything_runs() {
    let folder = Folder::new();
    folder.write(
        "texts.jsonl",
        concat!(
            "{\"review\": \"I love it.\", \"stars\": \"pos\"}\n",
            "{\"review\": \"I hate it.\", \"stars\": 0}\n",
            "{\"review\": \"It is awful.\", \"stars\": \"neg\"}\n",
            "{\"review\": 3, \"stars\": \"pos\"}\n",
            "{\"stars\": \"pos\"}\n",
            "not JSON\n",
        ),
    );
    let data = path(&folder, "texts.jsonl");
    let arguments = ["sentiment-minilm", &data, "--label-column", "stars"];
    let (code, said) = failure(&arguments);
    assert_eq!(code, Some(1));
    for words in [
        "`pos` (2, first at ",
        "texts.jsonl:1): no class",
        "`neg` (1, first at ",
        "texts.jsonl:5: column `review` is empty",
        "texts.jsonl:6: no JSON",
        "`negative`, `neutral`, `positive`",
        "nothing was evaluated",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    folder.write("labels.txt", "neg\tnegative\n");
    let labels = path(&folder, "labels.txt");
    let given = ["--map", "pos=positive", "--labels", &labels, "--skip-bad"];
    let report = json(&[&arguments[..], &given].concat());
    assert_eq!((&report["items"], &report["skipped"]), (&4.into(), &2.into()));
    let (code, said) = failure(&[&arguments[..], &["--map", "pos=positiv"]].concat());
    assert_eq!((code, said.contains("did you mean `positive`?")), (Some(78), true), "{said}");
}

/// Iris as two versions; the second takes two classes for each other, and numbers all in another order.
fn two_versions() -> (Folder, String) {
    let folder = Folder::new();
    for version in ["1", "2"] {
        folder.copy("models/iris/model.onnx", &format!("iris/{version}/model.onnx"));
    }
    folder
        .write("iris/1/labels.txt", "setosa\nversicolor\nvirginica\n")
        .write("iris/2/labels.txt", "virginica\nversicolor\nsetosa\n");
    let models = folder.path().to_str().unwrap().to_owned();
    (folder, models)
}

#[test]
fn versions_are_compared_by_the_names_of_their_classes() {
    let (folder, models) = two_versions();
    let page = path(&folder, "report.html");
    let data = "models/eval/iris.csv";
    let asked = ["--models", &models, "--against", "iris@2", "--html", &page];
    let report = json(&[&["iris@1", data], &asked[..]].concat());
    assert_eq!(
        (&report["model"]["version"], &report["against"]["model"]["version"]),
        (&1.into(), &2.into())
    );
    // The second says virginica for all of setosa and setosa for the 13 that are taken for virginica.
    let against = &report["against"];
    assert_eq!((&against["agree"], &against["differ"]), (&17.into(), &28.into()));
    assert!((metric(&report, "agreement") - 17.0 / 45.0).abs() < 1e-12);
    assert!((metric(against, "accuracy") - 14.0 / 45.0).abs() < 1e-12);
    let test = &against["mcnemar"];
    assert_eq!((&test["only_first"], &test["only_other"]), (&27.into(), &0.into()));
    assert_eq!(test["method"], "chi-square");
    assert!(test["p_value"].as_f64().unwrap() < 1e-5, "{test}");
    assert!(check_page(&page).contains("iris@1 against iris@2"));

    let (code, said) =
        failure(&[&["iris@1", data], &asked[..], &["--min", "agreement=0.9"]].concat());
    assert_eq!((code, said.contains("missed: agreement")), (Some(1), true), "{said}");
    let (_, said) = failure(&["iris@7", data, "--models", &models]);
    assert!(said.contains("no version 7: there is 1, 2"), "{said}");
    let (_, said) = failure(&["iris@1/other.onnx", data, "--models", &models]);
    assert!(said.contains("no file `other.onnx`"), "{said}");
    let (_, said) = failure(&["iris", data, "--against", "sentiment-minilm"]);
    assert!(said.contains("cannot be compared"), "{said}");
}

#[test]
fn a_regression_has_errors_in_the_place_of_classes() {
    let folder = Folder::new();
    folder.write("rows.csv", "a,b,c,d,target\n1,2,3,4,17\n2,2,3,4,18.5\n");
    let (data, page) = (path(&folder, "rows.csv"), path(&folder, "report.html"));
    let models = ["--models", "tests/fixtures/models"];
    let asked = [&["no-batch", &data, "--html", &page], &models[..]].concat();
    let report = json(&asked);
    let [mae, rmse, mean_error] = ["mae", "rmse", "mean_error"].map(|name| metric(&report, name));
    assert!((mae - 0.5).abs() < 1e-4 && (mean_error + 0.5).abs() < 1e-4, "{report}");
    assert!((rmse * rmse - 0.5).abs() < 1e-4, "{report}");
    assert_eq!(report["mistakes"][0]["prediction"], 17.5);
    assert!(check_page(&page).contains("Predictions against values"));
    let output = evaluate(&[&asked[..], &["--max", "rmse=0.5"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("RMSE"), "{output:?}");

    folder.write("rows.csv", "a,b,c,d,target\n1,2,3,4,much\n");
    let (_, said) = failure(&asked);
    assert!(said.contains("`much` (1, first at ") && said.contains("no number"), "{said}");
}

#[test]
fn models_without_one_label_an_input_are_refused() {
    for (model, words) in [
        ("optimum-distilbert-multi-label", "several labels"),
        ("optimum-bert-tokens", "for classifiers and regressions"),
        ("two-inputs-unknown", "for classifiers and regressions"),
    ] {
        let data = "models/eval/sentiment.tsv";
        let (code, said) = failure(&[model, data, "--models", "tests/fixtures/models"]);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn what_the_data_says_stays_text_on_the_page() {
    let folder = Folder::new();
    let mut rows = String::from("text,label\n");
    for _ in 0..3 {
        writeln!(rows, "<script>alert(1)</script> I love it,negative").unwrap();
    }
    folder.write("<b>.csv", rows);
    let (data, page) = (path(&folder, "<b>.csv"), path(&folder, "report.html"));
    json(&["sentiment-minilm", &data, "--html", &page]);
    let page = check_page(&page);
    assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("&lt;b&gt;.csv"), "{page}");
}

#[test]
fn data_that_is_not_there_or_of_another_kind_is_refused_in_a_sentence() {
    let folder = Folder::new();
    folder.write("a.csv", "id,text,mood\n1,x,positive\n").write("a.xlsx", "");
    for (data, words) in [
        (PathBuf::from("/nonexistent"), "no such file or folder"),
        (folder.path().join("a.csv"), "--label-column"),
        (folder.path().join("a.xlsx"), "ends in .csv, .tsv, .jsonl or .ndjson"),
        (folder.path().to_owned(), "is a folder"),
    ] {
        let (code, said) = failure(&["sentiment-tfidf", data.to_str().unwrap()]);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(words), "{words}: {said}");
    }
}

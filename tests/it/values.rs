//! Values of features: missing ones, whole numbers to the last digit, truth values, and rows by name in
//! every form that carries them.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::network::{BOOL, BYTES, FP32, FP64, INT64, Network, UINT64};
use crate::support::{Answer, Folder, Server, onnxd};

/// Tells what arrived: the age (-1 if it is missing), the flag, both whole numbers modulo 1000, how many
/// steps of 2^-52 the double is over 1, whether the sex is "male", and whether it is empty.
fn echo() -> Vec<u8> {
    let column = [None, Some(1)];
    Network::default()
        .input("age", FP32, &column)
        .input("flag", BOOL, &column)
        .input("n", INT64, &column)
        .input("u", UINT64, &column)
        .input("d", FP64, &column)
        .input("sex", BYTES, &column)
        .number("none", FP32, &(-1.0_f32).to_le_bytes())
        .number("thousand", INT64, &1000_i64.to_le_bytes())
        .number("thousand_u", UINT64, &1000_u64.to_le_bytes())
        .number("one", FP64, &1.0_f64.to_le_bytes())
        .number("steps", FP64, &((1_u64 << 52) as f64).to_le_bytes())
        .text("male", "male")
        .text("empty", "")
        .node("IsNaN", &["age"], "is_nan")
        .node("Where", &["is_nan", "none", "age"], "told_age")
        .node_with("Cast", &["flag"], "told_flag", &[("to", 1)])
        .node("Mod", &["n", "thousand"], "rest")
        .node_with("Cast", &["rest"], "told_n", &[("to", 1)])
        .node("Mod", &["u", "thousand_u"], "rest_u")
        .node_with("Cast", &["rest_u"], "told_u", &[("to", 1)])
        .node("Sub", &["d", "one"], "over")
        .node("Mul", &["over", "steps"], "over_steps")
        .node_with("Cast", &["over_steps"], "told_d", &[("to", 1)])
        .node("Equal", &["sex", "male"], "is_male")
        .node_with("Cast", &["is_male"], "told_male", &[("to", 1)])
        .node("Equal", &["sex", "empty"], "is_empty")
        .node_with("Cast", &["is_empty"], "told_empty", &[("to", 1)])
        .node_with(
            "Concat",
            &["told_age", "told_flag", "told_n", "told_u", "told_d", "told_male", "told_empty"],
            "told",
            &[("axis", 1)],
        )
        .output("told", FP32, &[None, Some(7)])
        .bytes()
}

fn echo_folder(more: &str) -> Folder {
    let folder = Folder::new();
    folder.write("echo/model.onnx", echo());
    let toml = format!("task = \"tabular-regression\"\nscores = \"values\"\n{more}");
    folder.write("echo/model.toml", toml);
    folder
}

/// A row of whole numbers of which a network tells those modulo 1000, and the columns' names.
fn whole_folder() -> Folder {
    let folder = Folder::new();
    let rows = [None, Some(2)];
    let network = Network::default()
        .input("features", INT64, &rows)
        .number("thousand", INT64, &1000_i64.to_le_bytes())
        .node("Mod", &["features", "thousand"], "rest")
        .node_with("Cast", &["rest"], "told", &[("to", 1)])
        .output("told", FP32, &rows);
    folder.write("whole/model.onnx", network.bytes());
    let toml =
        "task = \"tabular-regression\"\nscores = \"values\"\nfeature_names = [\"a\", \"b\"]\n";
    folder.write("whole/model.toml", toml);
    folder
}

async fn serve(folder: &Folder) -> Server {
    Server::start(folder.load().unwrap()).await
}

/// What a row's answer says, as numbers.
fn values(answer: &Value) -> Vec<f64> {
    let list = answer["value"].as_array().unwrap_or_else(|| panic!("{answer}"));
    list.iter().map(|value| value.as_f64().unwrap()).collect()
}

#[track_caller]
fn refused(answer: &Answer, field: &str, words: &[&str]) {
    assert_eq!(answer.status, 422, "{}", answer.body);
    let said = answer.body["error"].as_str().unwrap();
    assert!(said.contains(&format!("`{field}`")), "{field}: {said}");
    for words in words {
        assert!(said.contains(words), "{words}: {said}");
    }
}

/// A step over 1, which FP32 would round away.
const DOUBLE: f64 = 1.000_000_000_000_000_2;

#[tokio::test(flavor = "multi_thread")]
async fn values_arrive_to_the_last_digit_in_every_form_of_features() {
    let server = serve(&echo_folder("")).await;
    let record = json!({"age": 30.5, "flag": true, "n": 9_007_199_254_740_993_i64,
        "u": u64::MAX, "d": DOUBLE, "sex": "male"});
    let turned = json!({"sex": null, "d": 1, "u": 1e3, "n": -7.0, "flag": 0, "age": null});
    let columns = json!({"age": [30.5, null], "flag": [true, 0], "n": [9_007_199_254_740_993_i64, -7],
        "u": [u64::MAX, 1000], "d": [DOUBLE, true], "sex": ["male", null]});
    let first = [30.5, 1.0, 993.0, 615.0, 1.0, 1.0, 0.0];
    let second = [-1.0, 0.0, -7.0 + 1000.0, 0.0, 0.0, 0.0, 1.0];
    for features in [json!([record, turned]), columns] {
        let answer = server.json("/predict/echo", json!({"features": features})).await;
        assert_eq!(values(&answer.result()[0]), first);
        assert_eq!(values(&answer.result()[1]), second);
    }
    let one = server.json("/predict/echo", json!({"features": record})).await;
    assert_eq!(values(&one.result()[0]), first);

    for instances in [json!([record, turned]), json!([record])] {
        let answer = server.json("/v1/models/echo:predict", json!({"instances": instances})).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let told: Vec<f64> = serde_json::from_value(answer.body["predictions"][0].clone()).unwrap();
        assert_eq!(told, first);
    }

    let input = |name: &str, datatype: &str| {
        let data = json!([record[name], turned[name]]);
        json!({"name": name, "datatype": datatype, "shape": [2, 1], "data": data})
    };
    let inputs = json!({"inputs": [input("age", "FP32"), input("flag", "BOOL"), input("n", "INT64"),
        input("u", "UINT64"), input("d", "FP64"), input("sex", "BYTES")]});
    let answer = server.json("/v2/models/echo/infer", inputs).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let told: Vec<f64> = serde_json::from_value(answer.body["outputs"][0]["data"].clone()).unwrap();
    assert_eq!(told, [first, second].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_whole_numbers_are_exact_or_refused() {
    let server = serve(&whole_folder()).await;
    let ask = async |features: &str| {
        let body = format!("{{\"features\": {features}}}");
        server.post("/predict/whole", "application/json", body).await
    };
    for (features, told) in [
        ("[[9007199254740993, -9223372036854775808]]", [993.0, 192.0]),
        ("[[1.0, 1e3]]", [1.0, 0.0]),
        ("[true, false]", [1.0, 0.0]),
        ("{\"b\": 9007199254740993, \"a\": 9223372036854775807}", [807.0, 993.0]),
        ("[{\"b\": 9007199254740993, \"a\": 9223372036854775807}]", [807.0, 993.0]),
    ] {
        let answer = ask(features).await;
        assert_eq!(values(&answer.result()[0]), told, "{features}");
    }
    for (features, field, got) in [
        ("[[0, 9223372036854775808]]", "features[0][1]", "got 9223372036854775808"),
        ("[[0, -9223372036854775809]]", "features[0][1]", "got -9.223"),
        ("[[0, 9007199254740993.0]]", "features[0][1]", "written in digits alone"),
        ("[[1, 2], [3, 0.5]]", "features[1][1]", "got 0.5"),
        ("[[1, null]]", "features[0][1]", "which has no missing value, got null"),
        ("[{\"a\": 1, \"b\": null}]", "features[0].b", "which has no missing value, got null"),
        (
            "{\"a\": [1, 2], \"b\": [3, null]}",
            "features.b[1]",
            "which has no missing value, got null",
        ),
    ] {
        refused(&ask(features).await, field, &["expected a whole number (INT64)", got]);
    }
    let v1 = server.json("/v1/models/whole:predict", json!({"instances": [[1, null]]})).await;
    refused(&v1, "instances", &["INT64", "which has no missing value", "got null"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_without_missing_values_refuse_them_by_name() {
    let server = serve(&echo_folder("")).await;
    let record = json!({"age": 1, "flag": true, "n": 1, "u": 1, "d": 1, "sex": ""});
    let with = |name: &str, value: Value| {
        let mut record = record.clone();
        record[name] = value;
        json!({"features": [record]})
    };
    for (name, value, expected) in [
        ("flag", json!(null), "true or false, or 0 or 1 (BOOL), which has no missing value"),
        ("flag", json!(2), "true or false, or 0 or 1 (BOOL), got 2"),
        ("n", json!(null), "a whole number (INT64), which has no missing value"),
        ("u", json!(-1), "a whole number (UINT64), got -1"),
        ("age", json!("NaN"), "a number, got the text \"NaN\""),
        ("sex", json!(1), "text, got the number 1"),
    ] {
        let answer = server.json("/predict/echo", with(name, value)).await;
        refused(&answer, &format!("features[0].{name}"), &[expected]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_value_that_leaves_no_answer_is_named() {
    let server = Server::bundled().await;
    let rows = "[[5.1, 3.5, 1.4, 0.2], [6.2, null, 4.8, null]]";
    let ask = async |path: &str, body: String| server.post(path, "application/json", body).await;
    let predict = ask("/predict/iris", format!("{{\"features\": {rows}}}")).await;
    refused(&predict, "features[1][1]", &["expected a value", "missing"]);
    let v1 = ask("/v1/models/iris:predict", format!("{{\"instances\": {rows}}}")).await;
    refused(&v1, "features[1][1]", &["expected a value", "missing"]);
    let v2 = |output: &str| {
        format!(
            "{{\"inputs\": [{{\"name\": \"features\", \"datatype\": \"FP32\", \"shape\": [2, 4], \
             \"data\": {rows}}}], \"outputs\": [{{\"name\": \"{output}\"}}]}}"
        )
    };
    refused(&ask("/v2/models/iris/infer", v2("probabilities")).await, "features[1][1]", &[]);
    let label = ask("/v2/models/iris/infer", v2("label")).await;
    assert_eq!(label.status, 200, "{}", label.body);

    let nan = ask("/v1/models/iris:predict", "{\"instances\": [[1, NaN, 3, 4]]}".to_owned()).await;
    assert_eq!(nan.status, 400, "{}", nan.body);
    assert!(nan.body["error"].as_str().unwrap().contains("null for a missing value"));

    // The other lines are answered.
    let lines = "{\"features\": [6.2, null, 4.8, 1.8]}\n{\"features\": [5.1, 3.5, 1.4, 0.2]}\n";
    let answer = server.post("/predict/iris", "application/x-ndjson", lines).await;
    let Value::String(text) = answer.body else { panic!("{}", answer.body) };
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["error"]["status"], 422, "{text}");
    assert_eq!(lines[0]["error"]["field"], "features[0][1]");
    assert_eq!(lines[1]["result"][0]["label"], "setosa");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_missing_or_too_many_are_refused_by_name() {
    let server = serve(&whole_folder()).await;
    let ask = async |features: &str| {
        let body = format!("{{\"features\": {features}}}");
        server.post("/predict/whole", "application/json", body).await
    };
    refused(&ask("[{\"a\": 1}]").await, "features", &["a column `b`"]);
    refused(&ask("[{\"a\": 1, \"b\": 2}, {\"a\": 1}]").await, "features[1]", &["a value for `b`"]);
    let extra = ask("[{\"a\": 1, \"b\": 2, \"c\": 3}]").await;
    refused(&extra, "features", &["one of `a`, `b`", "got the name `c`"]);
    let twice = ask("[{\"a\": 1, \"b\": 2, \"a\": 3}]").await;
    refused(&twice, "features[0]", &["each name once", "`a` twice"]);
    let split = ask("{\"index\": [0], \"columns\": [\"a\", \"b\"], \"data\": [[1, 2]]}").await;
    refused(&split, "features.data[0]", &["to_dict(\"records\")", "to_dict(\"list\")"]);
    let columns = ask("{\"a\": {\"0\": 1}, \"b\": {\"0\": 2}}").await;
    refused(&columns, "features.a", &["to_dict(\"records\")"]);
    let v1 =
        server.json("/v1/models/whole:predict", json!({"instances": [{"a": 1, "b": 2}]})).await;
    assert_eq!(v1.body["predictions"][0], json!([1.0, 2.0]), "{}", v1.body);
    let v1 = server.json("/v1/models/whole:predict", json!({"instances": [{"a": 1}]})).await;
    refused(&v1, "instances", &["a column `b`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_may_ignore_extra_columns() {
    let server = serve(&echo_folder("extra_columns = \"ignore\"\n")).await;
    let record = json!({"id": "x", "age": 2, "flag": true, "n": 1, "u": 1, "d": 1, "sex": ""});
    let second = json!({"age": 3, "flag": true, "n": 1, "u": 1, "d": 1, "sex": "", "note": null});
    let rows = json!([record, second]);
    let answer = server.json("/predict/echo", json!({"features": rows})).await;
    let ages: Vec<f64> = answer.result().iter().map(|row| values(row)[0]).collect();
    assert_eq!(ages, [2.0, 3.0]);
    let answer = server.json("/v1/models/echo:predict", json!({"instances": rows})).await;
    assert_eq!(answer.body["predictions"][1][0], 3.0, "{}", answer.body);
    assert!(echo_folder("extra_columns = \"drop\"\n").load().is_err());
}

/// Answers of `onnxd predict` to these lines, and whether all were good.
fn predict(folder: &Folder, model: &str, file: &str) -> (Vec<Value>, bool) {
    let models = folder.path().to_str().unwrap();
    let mut child = onnxd(&["predict", model, "-", "--models", models, "--format", "jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(file.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (lines, output.status.success())
}

#[test]
fn cells_of_csv_mean_what_the_column_is() {
    let csv = "sex,age,flag,n,u,d\n\
               male,30.5,True,9007199254740993,18446744073709551615,1.0000000000000002\n\
               ,,false,7.0,1e3,1\n\
               NA,NaN,1,1,1,1\n\
               male,x,1,1,1,1\n\
               male,1,,1,1,1\n";
    let (lines, good) = predict(&echo_folder(""), "echo", csv);
    assert!(!good);
    let first = [30.5, 1.0, 993.0, 615.0, 1.0, 1.0, 0.0];
    assert_eq!(values(&lines[0]["result"]), first);
    assert_eq!(values(&lines[1]["result"]), [-1.0, 0.0, 7.0, 0.0, 0.0, 0.0, 1.0]);
    // NA is a missing number, and a text that somebody may mean.
    assert_eq!(values(&lines[2]["result"])[..2], [-1.0, 1.0]);
    assert_eq!(values(&lines[2]["result"])[6], 0.0);
    let said = |line: &Value| line["error"].as_str().unwrap().to_owned();
    assert!(said(&lines[3]).contains("age") && said(&lines[3]).contains("`x`"), "{}", lines[3]);
    let empty = "which has no missing value, got an empty cell";
    assert!(said(&lines[4]).contains("flag") && said(&lines[4]).contains(empty), "{}", lines[4]);

    let (lines, good) = predict(&whole_folder(), "whole", "9007199254740993,true\n3,\n");
    assert!(!good);
    assert_eq!(values(&lines[0]["result"]), [993.0, 1.0]);
    assert!(said(&lines[1]).contains("`features[0][1]`"), "{}", lines[1]);
    let (lines, good) =
        predict(&whole_folder(), "whole", "[{\"b\": 2, \"a\": 1}]\n{\"a\": 1, \"b\": 3}\n");
    assert!(good);
    assert_eq!(values(&lines[0]["result"]), [1.0, 2.0]);
    assert_eq!(values(&lines[1]["result"]), [1.0, 3.0]);
}

#[test]
fn evaluate_takes_missing_values_as_the_model_does() {
    let folder = Folder::new();
    let column = [None, Some(1)];
    let network = Network::default()
        .input("age", FP32, &column)
        .input("n", INT64, &column)
        .number("none", FP32, &(-1.0_f32).to_le_bytes())
        .number("thousand", INT64, &1000_i64.to_le_bytes())
        .node("IsNaN", &["age"], "is_nan")
        .node("Where", &["is_nan", "none", "age"], "told_age")
        .node("Mod", &["n", "thousand"], "rest")
        .node_with("Cast", &["rest"], "told_n", &[("to", 1)])
        .node("Add", &["told_age", "told_n"], "told")
        .output("told", FP32, &column);
    folder.write("sum/model.onnx", network.bytes());
    folder.write("rows.csv", "age,n,y\n2,9007199254740993,995\n,1,0\nNaN,True,0\n");
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (models, rows) = (path(""), path("rows.csv"));
    let arguments = ["evaluate", "sum", &rows, "--models", &models, "--max", "mae=0"];
    let output = onnxd(&arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

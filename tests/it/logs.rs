//! The log as it leaves the process: its lines, what they may hold, and that nothing waits for them.

use serde_json::Value;

use crate::process::Process;
use crate::support::Folder;

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const IRIS: &str = r#"{"features": [[5.1, 3.5, 1.4, 0.2]]}"#;

/// Requests that try to break a line, or to get what they hold into it. Each one fails.
fn nasty(process: &Process) -> usize {
    let long = format!("GET /{}", "a".repeat(4000));
    let asked = [
        ("GET /x%0d%0a%1b[31m{\"level\":\"ERROR\"}\"", "", "", 404),
        ("GET /\u{9b}31m\u{2028}é", "", "", 404),
        (long.as_str(), "", "", 404),
        ("GET /with?secret=secret", "", "", 404),
        ("MADE-UP-secret-but-it-is-a-method-and-this-one-is-longer-than-sixty /x", "", "", 404),
        ("GET /id", "x-request-id: forged\" level=\"ERROR\r\n", "", 404),
        ("GET /id", "x-request-id: secret\tand\u{9b}more\r\n", "", 404),
        ("POST /predict/iris", "x-priority: secret\r\n", IRIS, 422),
        ("POST /predict/iris", "", "{\"\\n{secret}\\u001b[31m\": 1}", 422),
        ("POST /predict/iris", "", "{\"features\": [[\"\\r\\nsecret\", 2, 3, 4]]}", 422),
        ("POST /predict/iris?secret=1", "", IRIS, 422),
        ("POST /predict/iris", "content-type: secret/secret\r\n", "secret", 400),
    ];
    for (line, headers, body, status) in asked {
        assert_eq!(process.ask(line, headers, body), status, "{line}");
    }
    asked.len()
}

fn objects(log: &str) -> Vec<Value> {
    log.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}")))
        .collect()
}

fn with_message<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["message"] == message).collect()
}

#[test]
fn each_json_line_is_one_event_whatever_clients_send() {
    let process = Process::alone(&[]);
    let sent = nasty(&process);
    let log = process.log();
    let lines = objects(&log);
    for line in &lines {
        for key in ["timestamp", "level", "target", "message"] {
            assert!(line[key].is_string(), "{key} of {line}");
        }
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.as_bytes()[10] == b'T' && time.ends_with('Z'), "{time}");
        assert_ne!(line["level"], "ERROR", "{line}");
    }
    let refused = with_message(&lines, "refused");
    assert_eq!(refused.len(), sent, "{log}");
    for line in refused {
        assert!(line["path"].as_str().unwrap().chars().count() <= 61, "{line}");
        assert!(line["request_id"].as_str().unwrap().len() == 32, "{line}");
        assert!(line["status"].is_u64() && line["ms"].is_f64(), "{line}");
        assert!(line["kind"].is_string() && line.get("reason").is_none(), "{line}");
    }
    assert!(!log.replace("MADE-UP-secret", "").contains("secret"), "{log}");
    assert!(!log.contains(|c: char| c.is_control() && c != '\n'), "{log:?}");
}

#[test]
fn what_onnx_runtime_thinks_of_a_network_is_not_told_at_every_request() {
    let models = Folder::new();
    // It declares two scores a row, and gives one.
    models.copy("tests/conformance/fixtures/skl2onnx/ridge-two/model.onnx", "ridge/model.onnx");
    let process = Process::start(models.path().to_str().unwrap(), &[]);
    assert_eq!(process.ask("POST /predict/ridge", "", IRIS), 200);
    let log = process.log();
    assert!(objects(&log).iter().all(|line| line["target"] != "ort::logging"), "{log}");
}

#[test]
fn each_text_line_is_one_event_whatever_clients_send() {
    let process = Process::alone(&[("ONNXD_LOG__FORMAT", "text")]);
    let sent = nasty(&process);
    let log = process.log();
    assert!(log.lines().all(|line| line.starts_with("20") && line.contains(" INFO ")), "{log}");
    assert_eq!(log.lines().filter(|line| line.contains(": refused ")).count(), sent, "{log}");
    assert!(!log.replace("MADE-UP-secret", "").contains("secret"), "{log}");
    assert!(!log.contains(|c: char| c.is_control() && c != '\n'), "{log:?}");
}

#[test]
fn a_failed_request_has_one_line_with_the_ids_that_came() {
    let process = Process::alone(&[]);
    let headers = format!("x-request-id: mine.1\r\ntraceparent: {TRACEPARENT}\r\n");
    assert_eq!(process.ask("POST /predict/unknown", &headers, IRIS), 404);
    assert_eq!(process.ask("POST /predict/iris", &headers, IRIS), 200);
    let invalid = "x-request-id: mine.2\r\ntraceparent: 00-4bf92f-00f067aa0ba902b7-01\r\n";
    assert_eq!(process.ask("POST /predict/unknown", invalid, IRIS), 404);
    let lines = objects(&process.log());
    let refused = with_message(&lines, "refused");
    assert_eq!(refused.len(), 2, "{lines:?}");
    assert_eq!(refused[0]["request_id"], "mine.1");
    assert_eq!(refused[0]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(refused[0]["route"], "/predict/{model}");
    assert_eq!(refused[0]["kind"], "unknown-model");
    assert_eq!(refused[0]["level"], "INFO");
    assert_eq!(refused[1]["request_id"], "mine.2");
    assert!(refused[1].get("trace_id").is_none(), "{:?}", refused[1]);
    assert!(with_message(&lines, "answered").is_empty());
}

#[test]
fn the_access_log_has_a_line_for_each_answer() {
    let process = Process::alone(&[("ONNXD_LOG__ACCESS", "true")]);
    assert_eq!(process.ask("POST /predict/iris", "x-request-id: mine.1\r\n", IRIS), 200);
    assert_eq!(process.ask("POST /predict/unknown", "", IRIS), 404);
    let lines = objects(&process.log());
    let answered = with_message(&lines, "answered");
    assert_eq!((answered.len(), with_message(&lines, "refused").len()), (1, 1), "{lines:?}");
    assert_eq!(answered[0]["request_id"], "mine.1");
    assert_eq!(answered[0]["route"], "/predict/{model}");
    assert_eq!(answered[0]["status"], 200);
    assert!(answered[0]["ms"].as_f64().unwrap() > 0.0);
}

/// More than a pipe, and the lines that may wait, hold.
const MANY: usize = 10_000;

/// So that each has a line.
const ALL: (&str, &str) = ("ONNXD_LOG__FAILURES_PER_SECOND", "0");

/// Refused one after the other on one connection; how many had their answer.
fn ask_many(process: &Process) -> usize {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (client, url) = (reqwest::Client::new(), format!("http://{}/nothing", process.data));
    runtime.block_on(async {
        let mut refused = 0;
        for _ in 0..MANY {
            let response = client.get(&url).send().await.unwrap();
            refused += usize::from(response.status() == 404);
            response.bytes().await.unwrap();
        }
        refused
    })
}

#[test]
fn a_log_that_nobody_reads_stops_neither_answers_nor_the_end() {
    let mut process = Process::alone(&[ALL]);
    assert_eq!(ask_many(&process), MANY);
    assert_eq!(process.ask("POST /predict/iris", "", IRIS), 200);
    assert!(process.stop().success());
    // The pipe was full, so that it was never waited for.
    let log = process.log_after_end();
    let lines = log.lines().count();
    assert!(log.len() >= 60_000 && lines < MANY, "{} bytes, {lines} lines", log.len());
}

#[test]
fn a_log_that_is_closed_stops_neither_answers_nor_the_end() {
    let mut process = Process::alone(&[ALL]);
    process.close_log();
    assert_eq!(ask_many(&process), MANY);
    assert_eq!(process.ask("POST /predict/iris", "", IRIS), 200);
    assert!(process.stop().success());
}

#[test]
fn a_scan_of_paths_has_some_lines_a_second_and_a_count_of_the_others() {
    const MOST: usize = 5;
    let most = MOST.to_string();
    let process = Process::alone(&[("ONNXD_LOG__FAILURES_PER_SECOND", &most)]);
    assert_eq!(ask_many(&process), MANY);
    // Another kind has its own lines, however many of the first there are.
    assert_eq!(process.ask("POST /predict/unknown", "", IRIS), 404);
    let lines = objects(&process.log());
    let refused = with_message(&lines, "refused");
    let others = with_message(&lines, "more refusals, which have no line of their own");
    let of = |lines: &[&Value], kind: &str| -> Vec<Value> {
        let lines = lines.iter().filter(|line| line["kind"] == kind);
        lines.map(|line| (*line).clone()).collect()
    };
    assert_eq!(of(&refused, "unknown-model").len(), 1);
    let routes = of(&refused, "unknown-route");
    let told = of(&others, "unknown-route");
    let left_out: u64 = told.iter().map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!(routes.len() + left_out as usize, MANY, "each has a line or is counted");
    // A second has its lines, and whoever counts them begins where they do.
    let seconds: std::collections::BTreeSet<_> =
        routes.iter().map(|line| line["timestamp"].as_str().unwrap()[..19].to_owned()).collect();
    assert!(routes.len() <= MOST * (seconds.len() + 1), "{} in {seconds:?}", routes.len());
}

#[test]
fn a_failed_start_still_says_why_in_plain_text_at_the_end() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_onnxd"))
        .args(["serve", "--check", "--models", "/nonexistent"])
        .env("ONNXD_LOG__FORMAT", "json")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().last().unwrap().starts_with("onnxd: "), "{said}");
}

//! `onnxd bench`: the binary measures itself, on the smallest model and for an instant.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::process::Process;
use crate::support::{Folder, onnxd};

/// As short as it gets.
const SHORT: [&str; 8] =
    ["--duration", "100ms", "--rounds", "2", "--clients", "1,4", "--device", "cpu"];

fn bench(arguments: &[&str]) -> Output {
    onnxd(&[&["bench"], arguments, &SHORT].concat()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn above_zero(value: &Value) -> f64 {
    let number = value.as_f64().unwrap_or_else(|| panic!("no number: {value}"));
    assert!(number > 0.0, "{number}");
    number
}

#[track_caller]
fn check_percentiles(latency: &Value) {
    let [p50, p90, p99, max] = ["p50", "p90", "p99", "max"].map(|name| above_zero(&latency[name]));
    assert!(p50 <= p90 && p90 <= p99 && p99 <= max, "{latency}");
}

#[test]
fn json_has_every_part_and_the_plot_is_drawn() {
    let folder = Folder::new();
    let plot = folder.path().join("latency.svg");
    let plot = plot.to_str().unwrap();
    let report = json(&bench(&["iris", "--format", "json", "--rates", "200,1000", "--plot", plot]));

    assert_eq!(report["model"], "iris");
    assert_eq!(report["task"], "tabular-classification");
    for part in ["session", "preprocess", "loop"] {
        above_zero(&report["by_hand"][part]["throughput"]);
        check_percentiles(&report["by_hand"][part]["latency_ms"]);
    }
    assert_eq!(report["by_hand"]["decode"], Value::Null, "nothing is decoded");
    above_zero(&report["one_item_ms"]["session"]);
    let loops = |name: &Value| -> Vec<u64> {
        let loops = name.as_array().unwrap();
        for part in loops {
            above_zero(&part["throughput"]);
            check_percentiles(&part["latency_ms"]);
            assert_eq!(part["failed"], 0, "{part}");
        }
        loops.iter().map(|part| part["clients"].as_u64().unwrap()).collect()
    };
    assert_eq!(loops(&report["noop"]), [1, 4]);
    assert_eq!(loops(&report["served"]["closed"]), [1, 4]);
    // The kernel's tick may be longer than what the server took.
    let crowd = &report["served"]["closed"][1];
    assert!(crowd["cpu_ms_an_item"].as_f64().unwrap() >= 0.0, "{crowd}");
    let share = &crowd["server_share_of_cpu"];
    assert!(share.is_null() || (0.0..=1.0).contains(&share.as_f64().unwrap()), "{crowd}");
    let rates = report["served"]["open"].as_array().unwrap();
    for rate in [200.0, 1000.0] {
        let load = rates.iter().find(|load| load["rate"] == rate).unwrap();
        check_percentiles(&load["latency_ms"]);
        let [asked, answered, failed, given_up] =
            ["asked", "answered", "failed", "given_up"].map(|name| load[name].as_u64().unwrap());
        assert_eq!(asked, answered + failed + given_up);
    }
    assert_eq!(report["efficiency"]["clients"], 4);
    above_zero(&report["efficiency"]["served_to_loop"]["median"]);
    above_zero(&report["efficiency"]["served_to_session"]["median"]);
    assert!(report["added_p50_ms"].is_number() && report["goodput"].is_array());
    assert!(report["objective"].as_str().unwrap().starts_with("p99<"));

    let svg = std::fs::read_to_string(plot).unwrap();
    for words in ["<svg", "iris on cpu", "p50", "p90", "p99", "requests a second"] {
        assert!(svg.contains(words), "{words}: {svg}");
    }
}

#[test]
fn another_server_is_measured_by_the_same_load() {
    let other = Process::alone(&[]);
    let url = format!("http://{}", other.data);
    let report = |arguments: &[&str]| {
        let common = ["iris", "--format", "json", "--rates", "100", "--vs", url.as_str()];
        let report = json(&bench(&[&common, arguments].concat()));
        assert_eq!(report["others"][0]["name"], url);
        for part in report["others"][0]["closed"].as_array().unwrap() {
            above_zero(&part["throughput"]);
            assert_eq!((&part["failed"], &part["cpu_ms_an_item"]), (&0.into(), &Value::Null));
        }
        above_zero(&report["others"][0]["open"][0]["latency_ms"]["p50"]);
    };
    report(&[]);
    report(&["--vs-body", "v2"]);
    let output = bench(&["iris", "--vs", &url, "--vs-path", "/nowhere"]);
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains(&url) && said.contains("404"), "{said}");
}

#[test]
fn a_floor_that_is_not_reached_is_a_failure_with_both_numbers() {
    let output = bench(&["iris", "--rates", "50", "--floor", "1000"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("efficiency 0.") && said.contains("under the floor 1000"), "{said}");
    let told = text(&output.stdout);
    for words in ["session alone", "in-process loop", "no-op over HTTP", "4 clients", "added p50"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(bench(&["iris", "--rates", "50", "--floor", "0.000001"]).status.success());
}

#[test]
fn inputs_come_from_files() {
    let folder = Folder::new();
    folder.write("rows.csv", "5.1,3.5,1.4,0.2\n6.3,3.3,6.0,2.5\n").write("bad.csv", "1,2\n");
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let report = json(&bench(&["iris", &path("rows.csv"), "--format", "json", "--rates", "50"]));
    assert_eq!(report["inputs"], 2);
    let output = bench(&["iris", &path("bad.csv")]);
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("bad.csv:1") && said.contains("expected 4 numbers"), "{said}");
}

#[test]
fn what_is_wrong_is_said() {
    for (arguments, status, words) in [
        (&["iris", "--objective", "50ms"][..], 2, "p99<50ms"),
        (&["iris", "--rates", "0"], 2, "more than 0"),
        (&["iris", "--rounds", "1000"], 78, "a turn must be 20ms at least"),
        (&["iris", "--vs", "https://127.0.0.1:1"], 78, "expected http://HOST:PORT"),
        (&["iris", "--vs", "http://127.0.0.1:1"], 78, "no connection to 127.0.0.1:1"),
        (&["iris", "--vs", "http://127.0.0.1:1", "--vs-body", "image"], 78, "use json or v2"),
        (&["iris", "/nonexistent.csv"], 78, "no such file or folder"),
        (&["nothing"], 78, "nothing"),
    ] {
        let output = onnxd(&[&["bench", "--duration", "1s"], arguments].concat()).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn the_server_ends_with_the_measurement() {
    let children = |of: u32| {
        let tasks = format!("/proc/{of}/task/{of}/children");
        std::fs::read_to_string(tasks).unwrap_or_default()
    };
    let mut running = onnxd(&["bench", "iris", "--duration", "60s", "--device", "cpu"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let server = loop {
        if let Some(server) = children(running.id()).split_whitespace().next() {
            break server.to_owned();
        }
        assert!(running.try_wait().unwrap().is_none(), "it ended before it had a server");
    };
    let id = running.id().to_string();
    assert!(std::process::Command::new("kill").arg(&id).status().unwrap().success());
    assert_eq!(running.wait().unwrap().code(), Some(130));
    assert!(!Path::new("/proc").join(server).exists(), "the server is gone");
}

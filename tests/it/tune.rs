//! `onnxd tune`, on a small model and for a short time.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::support::{Folder, onnxd};

/// Iris whose sessions wait for batches that never fill, so that nobody is answered in time.
fn slow_iris() -> Folder {
    let folder = Folder::new();
    let toml = "# Centimetres.\nfeature_names = [\"a\", \"b\", \"c\", \"d\"]\n\
                max_batch_size = 4096\nmax_queue_delay = \"200ms\" # too long\n";
    folder
        .copy("models/iris/model.onnx", "iris/model.onnx")
        .copy("models/iris/golden.json", "iris/golden.json")
        .copy("models/iris/labels.txt", "iris/labels.txt")
        .write("iris/model.toml", toml);
    folder
}

fn tune(folder: &Folder, more: &[&str]) -> Output {
    let models = folder.path().to_str().unwrap();
    let arguments = ["tune", "iris", "--models", models, "--budget", "3s"];
    onnxd(&[&arguments[..], more].concat()).output().unwrap()
}

fn toml(folder: &Folder) -> String {
    fs::read_to_string(folder.path().join("iris/model.toml")).unwrap()
}

#[test]
fn it_writes_what_it_found_and_the_server_takes_it() {
    let folder = slow_iris();
    let plot = folder.path().join("plot.svg");
    let output = tune(&folder, &["--objective", "p99<150ms", "--plot", plot.to_str().unwrap()]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Chosen: ") && said.contains("Written: "), "{said}");
    assert!(said.contains("- max_queue_delay = \"200ms\" # too long"), "{said}");
    let toml = toml(&folder);
    assert!(toml.starts_with("# Centimetres.\nfeature_names = [\"a\", "), "{toml}");
    assert!(!toml.contains("200ms"), "{toml}");
    let svg = fs::read_to_string(plot).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("requests a second"), "{svg}");

    let models = folder.path().to_str().unwrap();
    let check = onnxd(&["serve", "--check", "--models", models]).output().unwrap();
    assert!(check.status.success(), "{check:?}\n{toml}");
}

#[test]
fn a_dry_run_tells_programs_the_figures_and_people_the_lines() {
    let folder = slow_iris();
    let before = toml(&folder);
    let output = tune(&folder, &["--objective", "p90<150ms", "--format", "json", "--dry-run"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("Not written (--dry-run)"), "{stderr}");
    assert_eq!(toml(&folder), before);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["model"], &report["objective"]), (&"iris".into(), &"p90<150ms".into()));
    let settings = report["settings"].as_array().unwrap();
    let of = |mark: &str| settings.iter().filter(|row| row[mark] == true).count();
    assert_eq!((of("chosen"), of("present"), of("default")), (1, 1, 1), "{report}");
    assert!(settings[0]["rate"].as_f64().unwrap() > 0.0);
}

#[test]
fn what_nothing_can_meet_changes_nothing() {
    let folder = slow_iris();
    let before = toml(&folder);
    let output = tune(&folder, &["--objective", "p99<1ns"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("No setting meets p99<1ns"), "{said}");
    assert_eq!(toml(&folder), before);
}

#[test]
fn a_wrong_objective_or_rate_is_told_with_an_example() {
    let refused = |option: &str, value: &str| {
        let output = tune(&slow_iris(), &[option, value]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused("--objective", "99<50ms").contains("expected for example p99<50ms"));
    assert!(refused("--rate", "0").contains("requests a second, over 0"));
}

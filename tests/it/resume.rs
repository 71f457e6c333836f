//! `onnxd predict --output`: what was written stays, whatever ends the run, and --resume goes on after it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::support::{Folder, assert_same, onnxd};

const ROWS: usize = 30_000;

struct Run {
    folder: Folder,
}

impl Run {
    fn new() -> Self {
        let folder = Folder::new();
        let row = |row| format!("5.1,3.5,1.4,{}", f64::from(row % 250) / 100.0);
        let rows = (0..ROWS as u32).map(row).collect::<Vec<_>>().join("\n");
        folder.write("rows.csv", rows);
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, output: &str, more: &[&str]) -> std::process::Command {
        let (rows, output) = (self.path("rows.csv"), self.path(output));
        let mut command = onnxd(&["predict", "iris"]);
        command.arg(rows).arg("--output").arg(output).args(more).stderr(Stdio::piped());
        command
    }

    fn run(&self, output: &str, more: &[&str]) -> Output {
        self.command(output, more).output().unwrap()
    }

    fn lines(&self, output: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(output)).unwrap();
        assert!(text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn assert_whole(&self, output: &str) {
        let (whole, lines) = (self.lines("whole.jsonl"), self.lines(output));
        assert_eq!((whole.len(), lines.len()), (ROWS, ROWS));
        for (left, right) in whole.iter().zip(&lines) {
            assert_same(left, right);
        }
    }
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |file| file.len())
}

#[track_caller]
fn refused(output: &Output, said: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains(said), "{text}");
}

#[test]
fn a_killed_run_that_is_resumed_writes_what_a_whole_one_does() {
    let run = Run::new();
    let whole = run.run("whole.jsonl", &[]);
    assert!(whole.status.success(), "{whole:?}");
    assert!(whole.stdout.is_empty());
    let all = size(&run.path("whole.jsonl"));
    for attempt in 0..3 {
        let name = format!("killed-{attempt}.jsonl");
        let at = fastrand::u64(1..all);
        let mut process = run.command(&name, &["--resume"]).spawn().unwrap();
        while size(&run.path(&name)) < at && process.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        // It may have ended just now, which is one more moment to be killed at.
        process.kill().unwrap();
        process.wait().unwrap();
        let resumed = run.run(&name, &["--resume"]);
        assert!(resumed.status.success(), "{resumed:?}");
        run.assert_whole(&name);
    }
}

#[test]
fn a_part_of_a_line_is_cut_off_and_nothing_else_is_taken_for_an_answer() {
    let run = Run::new();
    assert!(run.run("whole.jsonl", &[]).status.success());
    let whole = std::fs::read_to_string(run.path("whole.jsonl")).unwrap();
    let start = |text: &str| {
        std::fs::write(run.path("torn.jsonl"), text).unwrap();
        std::fs::copy(run.path("whole.jsonl.run"), run.path("torn.jsonl.run")).unwrap();
    };
    // Nothing, a part of the first line, a whole number of lines, a part more, and everything.
    let second = whole.find('\n').unwrap() + 1;
    for end in [0, 10, second, whole.len() / 2, whole.len()] {
        start(&whole[..end]);
        assert!(run.run("torn.jsonl", &["--resume"]).status.success());
        run.assert_whole("torn.jsonl");
    }
    // What a power failure may leave.
    start(&format!("{}\0\0\0\0", &whole[..second]));
    assert!(run.run("torn.jsonl", &["--resume"]).status.success());
    run.assert_whole("torn.jsonl");

    start(&format!("{}no answer\n", &whole[..second]));
    refused(&run.run("torn.jsonl", &["--resume"]), "torn.jsonl:2 is no answer");
    let (one, two) = whole[..].split_once('\n').unwrap();
    let two = two.split_once('\n').unwrap().0;
    start(&format!("{two}\n{one}\n"));
    refused(&run.run("torn.jsonl", &["--resume"]), "rows.csv:1: the inputs are not the same");
    start(&format!("{whole}{one}\n"));
    refused(&run.run("torn.jsonl", &["--resume"]), "more answers than there are inputs");
}

#[test]
fn answers_of_another_run_are_not_gone_on_with() {
    let run = Run::new();
    assert!(run.run("answers.jsonl", &[]).status.success());
    let before = std::fs::read(run.path("answers.jsonl")).unwrap();
    refused(&run.run("answers.jsonl", &[]), "answers.jsonl is there already: --resume");
    refused(&run.run("answers.jsonl", &["--resume", "--top-k", "1"]), "with --top-k 5");
    let mut other = run.command("answers.jsonl", &["--resume"]);
    refused(&other.arg(run.path("rows.csv")).output().unwrap(), "of 1 arguments");

    let mut rows = std::fs::OpenOptions::new().append(true).open(run.path("rows.csv")).unwrap();
    rows.write_all(b"1,2,3,4\n").unwrap();
    refused(&run.run("answers.jsonl", &["--resume"]), "rows.csv with");
    std::fs::remove_file(run.path("answers.jsonl.run")).unwrap();
    refused(&run.run("answers.jsonl", &["--resume"]), "nothing tells what it is of");
    assert!(before == std::fs::read(run.path("answers.jsonl")).unwrap());
}

#[test]
fn failures_are_answers_too_and_count_again_after_a_resumption() {
    let folder = Folder::new();
    folder.write(
        "rows.jsonl",
        "{\"features\": [[5.1, 3.5, 1.4, 0.2]], \"id\": \"a\"}\n[1, 2]\n\n\
         {\"features\": [[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]], \"id\": \"c\", \
         \"parameters\": {\"top_k\": 1}}\n",
    );
    let (rows, output) = (folder.path().join("rows.jsonl"), folder.path().join("answers.jsonl"));
    for _ in 0..2 {
        let mut command = onnxd(&["predict", "iris", "--resume"]);
        let ended = command.arg(&rows).arg("--output").arg(&output).output().unwrap();
        assert_eq!(ended.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&ended.stderr).contains("1 inputs failed"));
        let text = std::fs::read_to_string(&output).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(
            (&lines[0]["id"], &lines[0]["result"]["label"]),
            (&"a".into(), &"setosa".into())
        );
        assert!(lines[1]["error"].as_str().unwrap().contains("expected 4 numbers"), "{}", lines[1]);
        assert_eq!(lines[2]["result"][1]["label"], "virginica");
        assert_eq!(lines[2]["result"][1]["classes"].as_array().unwrap().len(), 1);
        assert!(lines[2]["input"].as_str().unwrap().ends_with("rows.jsonl:4"));
    }
}

#[test]
fn an_answer_comes_while_standard_input_is_still_open() {
    use std::io::{BufRead, BufReader};
    let mut process = onnxd(&["predict", "iris", "-", "--format", "jsonl"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut rows = process.stdin.take().unwrap();
    let mut answers = BufReader::new(process.stdout.take().unwrap()).lines();
    for number in 1..=3 {
        rows.write_all(b"5.1,3.5,1.4,0.2\n").unwrap();
        let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["input"], format!("-:{number}"));
    }
    drop(rows);
    assert!(answers.next().is_none());
    assert!(process.wait().unwrap().success());
}

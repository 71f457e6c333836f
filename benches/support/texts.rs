//! Real texts of mixed length.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{request, root};

const SEED: u64 = 7;

/// Texts in an order that is the same in every run.
pub struct Texts {
    texts: Vec<String>,
    next: AtomicUsize,
}

impl Texts {
    /// From the bundled sentences: 2,000 texts of as many consecutive ones as `sentences` says.
    pub fn of(sentences: std::ops::RangeInclusive<usize>) -> Self {
        let file = std::fs::read_to_string(root().join("models/eval/sentiment.tsv")).unwrap();
        let all: Vec<&str> =
            file.lines().skip(1).filter_map(|line| Some(line.rsplit_once('\t')?.0)).collect();
        let mut random = fastrand::Rng::with_seed(SEED);
        let text = |start: usize| {
            let count = random.usize(sentences.clone());
            (start..start + count).map(|at| all[at % all.len()]).collect::<Vec<_>>().join(" ")
        };
        let mut texts: Vec<String> = (0..all.len()).map(text).collect();
        fastrand::Rng::with_seed(SEED).shuffle(&mut texts);
        Self { texts, next: AtomicUsize::new(0) }
    }

    /// The next one, and from the first on again after the last.
    pub fn pick(&self) -> &str {
        &self.texts[self.next.fetch_add(1, Ordering::Relaxed) % self.texts.len()]
    }

    /// The next one as a request.
    pub fn request(&self) -> Vec<u8> {
        let body = serde_json::json!({ "text": self.pick() }).to_string();
        request("application/json", body.as_bytes())
    }
}

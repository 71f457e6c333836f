//! Everything that is counted over the items, in memory that does not grow with them.

use super::classification::{Classification, Scores};
use super::data::{Cell, Item, Payload, Problem};
use super::regression::Regression;
use super::run::{Answer, Asked};
use super::survey::Truth;
use super::worst::Worst;

/// Mistakes, differing items and problems that a report holds.
const MISTAKES: usize = 24;
const DIFFERENCES: usize = 200;
const PROBLEMS: usize = 20;
/// Items that may fail before it is no use to go on.
const GIVE_UP_AFTER: u64 = 1000;
/// Characters of a text or a row that are shown.
const EXCERPT: usize = 240;

/// Counts of one model's answers, or of two models' beside each other.
pub struct Tally {
    pub items: u64,
    pub first: Counts,
    pub other: Option<Counts>,
    /// Of two models.
    pub both: Both,
    pub mistakes: Worst<Mistake>,
    pub differences: Worst<Difference>,
    pub problems: Vec<Problem>,
    pub failed: u64,
}

#[derive(Clone)]
pub enum Counts {
    Classes(Box<Classification>),
    Values(Regression),
}

/// How two models' answers differ.
#[derive(Debug, Clone, Copy, Default)]
pub struct Both {
    pub agree: u64,
    pub only_first_right: u64,
    pub only_other_right: u64,
    /// Sum and largest of the items' differences: of the probability that differs most, or of the values.
    pub difference_sum: f64,
    pub difference_most: f64,
}

/// An item as a report shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    pub place: String,
    /// A text, or a row's cells.
    pub excerpt: Option<String>,
    pub image: Option<std::path::PathBuf>,
}

/// What a model says of an item: a class and its score, or a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Said {
    Class { class: usize, score: f64 },
    Value(f64),
}

/// An item whose prediction is wrong; of a regression, far off.
#[derive(Debug, Clone, PartialEq)]
pub struct Mistake {
    pub item: Shown,
    pub truth: Truth,
    pub said: Said,
    /// The score of the label's class.
    pub label_score: Option<f64>,
}

/// An item of which two models say different things.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    pub item: Shown,
    pub truth: Truth,
    pub first: Said,
    pub other: Said,
}

impl Tally {
    /// `classes`: how many the models have; `None` where they give values.
    #[must_use]
    pub fn new(classes: Option<usize>, compares: bool) -> Self {
        let counts = || match classes {
            Some(classes) => Counts::Classes(Box::new(Classification::new(classes))),
            None => Counts::Values(Regression::default()),
        };
        Self {
            items: 0,
            first: counts(),
            other: compares.then(counts),
            both: Both::default(),
            mistakes: Worst::new(MISTAKES),
            differences: Worst::new(DIFFERENCES),
            problems: Vec::new(),
            failed: 0,
        }
    }

    /// Counts an item; whether it is of use to go on.
    pub fn add(&mut self, asked: &Asked) -> bool {
        let Asked { item, truth, answers } = asked;
        let answers = match answers {
            Ok(answers) => answers,
            Err(reason) => {
                self.failed += 1;
                if self.problems.len() < PROBLEMS {
                    let (place, reason) = (item.place.clone(), reason.clone());
                    self.problems.push(Problem { place, reason });
                }
                return self.failed < GIVE_UP_AFTER;
            }
        };
        self.items += 1;
        let Some(first) = answers.first() else { return true };
        self.first.add(*truth, first);
        self.note_mistake(item, *truth, first);
        if let (Some(counts), Some(other)) = (&mut self.other, answers.get(1)) {
            counts.add(*truth, other);
            self.compare(item, *truth, first, other);
        }
        true
    }

    fn note_mistake(&mut self, item: &Item, truth: Truth, answer: &Answer) {
        let said = said(answer);
        match (truth, answer) {
            (Truth::Class(label), Answer::Scores(scores)) if scores.best != label => {
                let label_score = Some(f64::from(scores.scores[label]));
                let mistake = || Mistake { item: Shown::of(item), truth, said, label_score };
                self.mistakes.add(scores.confidence(), mistake);
            }
            (Truth::Value(value), Answer::Value(predicted)) => {
                let mistake = || Mistake { item: Shown::of(item), truth, said, label_score: None };
                self.mistakes.add((predicted - value).abs(), mistake);
            }
            _ => {}
        }
    }

    fn compare(&mut self, item: &Item, truth: Truth, first: &Answer, other: &Answer) {
        let both = &mut self.both;
        let (difference, agree) = match (first, other) {
            (Answer::Scores(a), Answer::Scores(b)) => {
                if let Truth::Class(label) = truth {
                    let right = [a.best == label, b.best == label];
                    both.only_first_right += u64::from(right == [true, false]);
                    both.only_other_right += u64::from(right == [false, true]);
                }
                (largest_difference(a, b), a.best == b.best)
            }
            (Answer::Value(a), Answer::Value(b)) => ((a - b).abs(), a == b),
            _ => return,
        };
        both.agree += u64::from(agree);
        both.difference_sum += difference;
        both.difference_most = both.difference_most.max(difference);
        if !agree {
            let (first, other) = (said(first), said(other));
            let shown = || Difference { item: Shown::of(item), truth, first, other };
            self.differences.add(difference, shown);
        }
    }
}

impl Counts {
    fn add(&mut self, truth: Truth, answer: &Answer) {
        match (self, truth, answer) {
            (Self::Classes(counts), Truth::Class(label), Answer::Scores(scores)) => {
                counts.add(label, scores);
            }
            (Self::Values(counts), Truth::Value(value), Answer::Value(predicted)) => {
                counts.add(value, *predicted);
            }
            // `run` gives answers of the target's kind.
            _ => debug_assert!(false, "another kind of answer"),
        }
    }
}

impl Shown {
    fn of(item: &Item) -> Self {
        let cut = |text: &str| {
            let mut short: String = text.chars().take(EXCERPT).collect();
            if short.len() < text.len() {
                short.push('…');
            }
            short
        };
        let (excerpt, image) = match &item.payload {
            Payload::Image(path) => (None, Some(path.clone())),
            Payload::Text { text, pair: None } => (Some(cut(text)), None),
            Payload::Text { text, pair: Some(pair) } => {
                (Some(format!("{} ⁄ {}", cut(text), cut(pair))), None)
            }
            Payload::Row(cells) => {
                let cells: Vec<String> = cells.iter().map(told).collect();
                (Some(cut(&cells.join(", "))), None)
            }
        };
        Self { place: item.place.clone(), excerpt, image }
    }
}

fn told(cell: &Cell) -> String {
    match cell {
        Cell::Number(number) if number.value().is_nan() => "missing".to_owned(),
        Cell::Number(number) => short(number.value()),
        Cell::Text(text) => text.clone(),
    }
}

/// A number of any size in a few digits.
#[must_use]
pub fn short(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        1e-3..1e9 => {
            let text = format!("{number:.4}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => format!("{number:.4e}"),
    }
}

fn said(answer: &Answer) -> Said {
    match answer {
        Answer::Scores(scores) => Said::Class { class: scores.best, score: scores.confidence() },
        Answer::Value(value) => Said::Value(*value),
    }
}

fn largest_difference(a: &Scores, b: &Scores) -> f64 {
    let pairs = a.scores.iter().zip(&b.scores);
    pairs.map(|(a, b)| f64::from(a - b).abs()).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(label: usize, answers: &[&[f32]]) -> Asked {
        let payload = Payload::Text { text: "x".repeat(500), pair: None };
        let best = |scores: &[f32]| usize::from(scores[1] > scores[0]);
        let answer = |scores: &&[f32]| {
            Answer::Scores(Scores { best: best(scores), scores: scores.to_vec() })
        };
        Asked {
            item: Item { place: format!("file:{label}"), label: String::new(), payload },
            truth: Truth::Class(label),
            answers: Ok(answers.iter().map(answer).collect()),
        }
    }

    #[test]
    fn two_models_are_compared_item_by_item() {
        let mut tally = Tally::new(Some(2), true);
        tally.add(&asked(0, &[&[0.9, 0.1], &[0.4, 0.6]]));
        tally.add(&asked(1, &[&[0.9, 0.1], &[0.2, 0.8]]));
        tally.add(&asked(1, &[&[0.3, 0.7], &[0.2, 0.8]]));
        let Both { agree, only_first_right, only_other_right, difference_sum, difference_most } =
            tally.both;
        assert_eq!((agree, only_first_right, only_other_right), (1, 1, 1));
        assert!((difference_sum - 1.3).abs() < 1e-6 && (difference_most - 0.7).abs() < 1e-6);
        let differences = tally.differences.into_items();
        assert_eq!(differences[0].truth, Truth::Class(1), "the larger difference first");
        let mistakes = tally.mistakes.into_items();
        assert_eq!(mistakes.len(), 1, "the first model's own");
        assert_eq!(mistakes[0].item.excerpt.as_ref().unwrap().chars().count(), EXCERPT + 1);
    }

    #[test]
    fn what_fails_is_told_up_to_a_bound_and_then_given_up() {
        let mut tally = Tally::new(Some(2), false);
        let failed = Asked { answers: Err("no image".to_owned()), ..asked(0, &[]) };
        let goes_on = (0..GIVE_UP_AFTER).map(|_| tally.add(&failed)).filter(|on| *on).count();
        assert_eq!(goes_on as u64, GIVE_UP_AFTER - 1);
        assert_eq!((tally.items, tally.problems.len()), (0, PROBLEMS));
    }
}

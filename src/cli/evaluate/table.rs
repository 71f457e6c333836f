//! The figures for people on a terminal.

use crate::cli::figures::table;
use crate::evaluate::html::{number, sentence, words};
use crate::evaluate::report::{Against, Figures, Report, Word};

/// Classes, mistakes and differing items that are shown.
const CLASSES: usize = 20;
const MATRIX: usize = 10;
const MISTAKES: usize = 5;
const DIFFERENCES: usize = 10;
/// Characters of a text or of the name of a class.
const TEXT: usize = 44;
const NAME: usize = 24;

/// Everything that is told, a line break at its end.
pub fn text(report: &Report) -> String {
    let Report { model, data, items, seconds, items_per_second, figures, .. } = report;
    let mut text = format!(
        "{model}, {items} items of {data} in {seconds:.1} s, {items_per_second:.0} a second\n"
    );
    if report.skipped > 0 {
        text += &format!("{} unusable items were left out\n", report.skipped);
    }
    text += &format!("\n{}\n", metrics(report));
    let mut part = |title: &str, table: String| text += &format!("\n{title}\n{table}\n");
    if !figures.classes.is_empty() {
        part(&classes_title(figures), classes(figures));
        if figures.classes.len() <= MATRIX {
            part("labels by predictions", matrix(figures));
        } else {
            part("the commonest mistakes", commonest(figures));
        }
    }
    if !report.mistakes.is_empty() {
        part(&mistakes_title(report), mistakes(report));
    }
    if let Some(against) = &report.against {
        text += &format!("\n{}\n", comparison(report, against));
    }
    text
}

fn cut(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    // One line, whatever the text holds.
    short.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The metrics, of two models beside each other.
fn metrics(report: &Report) -> String {
    let figures = &report.figures;
    let against = report.against.as_ref();
    let names = against.map(|against| report.model.names_beside(&against.model));
    let mut table = match &names {
        Some([own, other]) => table(&["metric", own, other], 1),
        None => table(&["metric", "value"], 1),
    };
    for (name, value) in &figures.metrics {
        let Some(value) = value else { continue };
        let mut row = vec![words(name), number(*value)];
        if let Some(against) = against {
            let other = against.figures.metrics.get(name).copied().flatten();
            row.push(other.map_or_else(String::new, number));
        }
        table.add_row(row);
        if *name == "accuracy" {
            let told = |interval: Option<[f64; 2]>| match interval {
                Some([low, high]) => format!("{low:.4} to {high:.4}"),
                None => String::new(),
            };
            let mut row = vec!["  95 % interval".to_owned(), told(figures.accuracy_interval)];
            row.extend(against.map(|against| told(against.figures.accuracy_interval)));
            table.add_row(row);
        }
    }
    table.to_string()
}

fn classes_title(figures: &Figures) -> String {
    match figures.classes.len() {
        all if all > CLASSES => format!("the {CLASSES} of {all} classes with the lowest F1"),
        _ => "classes".to_owned(),
    }
}

fn classes(figures: &Figures) -> String {
    let mut table = table(&["class", "precision", "recall", "F1", "items", "predicted"], 1);
    let mut classes: Vec<_> = figures.classes.iter().collect();
    if classes.len() > CLASSES {
        classes.sort_by(|a, b| a.metrics.f1.total_cmp(&b.metrics.f1));
        classes.truncate(CLASSES);
    }
    for class in classes {
        let of = &class.metrics;
        let figures = [of.precision, of.recall, of.f1].map(|value| format!("{value:.4}"));
        let counts = [of.support, of.predicted].map(|count| count.to_string());
        table.add_row([vec![cut(&class.label, NAME)], figures.to_vec(), counts.to_vec()].concat());
    }
    table.to_string()
}

fn matrix(figures: &Figures) -> String {
    let names: Vec<String> = figures.classes.iter().map(|class| cut(&class.label, NAME)).collect();
    let header: Vec<&str> = std::iter::once("").chain(names.iter().map(String::as_str)).collect();
    let mut table = table(&header, 1);
    for (label, name) in figures.classes.iter().zip(&names) {
        let count = |predicted: usize| {
            let numbers = [label.metrics.index, predicted];
            let pair = figures.confusion.iter().find(|pair| pair.numbers == numbers);
            pair.map_or_else(|| "0".to_owned(), |pair| pair.items.to_string())
        };
        let counts = figures.classes.iter().map(|predicted| count(predicted.metrics.index));
        table.add_row(std::iter::once(name.clone()).chain(counts).collect::<Vec<_>>());
    }
    table.to_string()
}

fn commonest(figures: &Figures) -> String {
    let mut table = table(&["label", "prediction", "items"], 2);
    let wrong = figures.confusion.iter().filter(|pair| pair.numbers[0] != pair.numbers[1]);
    for pair in wrong.take(MATRIX) {
        let items = pair.items.to_string();
        table.add_row([cut(&pair.label, NAME), cut(&pair.prediction, NAME), items]);
    }
    table.to_string()
}

fn mistakes_title(report: &Report) -> String {
    let what = if report.classifies() { "surest mistakes" } else { "largest errors" };
    format!("the {what} (--html shows more)")
}

fn mistakes(report: &Report) -> String {
    let header: &[&str] = if report.classifies() {
        &["input", "label", "prediction", "score", ""]
    } else {
        &["input", "value", "prediction", ""]
    };
    let mut table = table(header, header.len());
    for mistake in report.mistakes.iter().take(MISTAKES) {
        let said = [word(&mistake.label), word(&mistake.prediction)];
        let score = mistake.score.map(|score| format!("{score:.4}"));
        let excerpt = cut(mistake.item.excerpt.as_deref().unwrap_or_default(), TEXT);
        let cells = std::iter::once(cut_start(&mistake.item.input)).chain(said).chain(score);
        table.add_row(cells.chain([excerpt]).collect::<Vec<_>>());
    }
    table.to_string()
}

fn word(word: &Word) -> String {
    match word {
        Word::Class(name) => cut(name, NAME),
        Word::Value(value) => number(*value),
    }
}

/// A path's end says more than its beginning.
fn cut_start(path: &str) -> String {
    const MOST: usize = 40;
    let length = path.chars().count();
    if length <= MOST {
        return path.to_owned();
    }
    let end: String = path.chars().skip(length - MOST).collect();
    format!("…{end}")
}

fn comparison(report: &Report, against: &Against) -> String {
    let mut text = format!("against {}\n", against.model);
    text += &format!(
        "They say the same of {} of {} items; {} differ by {} on average and by {} at most.\n",
        against.agree,
        report.items,
        if report.classifies() { "probabilities" } else { "values" },
        number(against.mean_difference),
        number(against.largest_difference),
    );
    if let Some(test) = &against.mcnemar {
        text += &sentence(test);
        text.push('\n');
    }
    if report.classifies() && !against.differences.is_empty() {
        let [own, other] = report.model.names_beside(&against.model);
        let mut table = table(&["input", "label", &own, &other], 4);
        for item in against.differences.iter().take(DIFFERENCES) {
            let said = |said: &Word, score: Option<f64>| match score {
                Some(score) => format!("{} {score:.4}", word(said)),
                None => word(said),
            };
            table.add_row([
                cut_start(&item.item.input),
                word(&item.label),
                said(&item.prediction, item.score),
                said(&item.other_prediction, item.other_score),
            ]);
        }
        let shown = against.differences.len().min(DIFFERENCES);
        text += &format!("\n{shown} of the {} items that differ\n{table}", against.differ);
    }
    text
}

//! What only runs of the network tell: what scores are where files and graph are silent, and from which
//! integer on its own label counts classes.

use super::super::note::WARM_UP;
use super::super::unserved::Unserved;
use super::Head;
use super::meaning::Meaning;
use super::read::{numbers, texts};
use super::scale::Scale;
use crate::error::Error;
use crate::tensor::Tensors;

impl Head {
    /// Settles what files and graph leave open by several runs, each of one row.
    ///
    /// # Errors
    /// Another number of classes than labels.
    pub fn calibrate(&mut self, runs: &[Tensors]) -> Result<(), Unserved> {
        let Some(first) = runs.first() else { return Ok(()) };
        if self.outputs.scores.is_empty() {
            return Ok(());
        }
        if self.meaning == Meaning::Values {
            let [output] = self.outputs.scores.as_slice() else {
                return Err(Unserved::unfit("its values come in several outputs"));
            };
            let is_read = runs.iter().all(|run| run.get(&output.name).and_then(numbers).is_some());
            return match is_read {
                true => Ok(()),
                false => Err(Unserved::Unfit(format!("output `{}` holds no numbers", output.name))),
            };
        }
        let mut rows = Vec::new();
        let mut width = 0;
        for run in runs {
            let (scores, columns, _) = self.scores(run).map_err(unfit)?;
            width = columns;
            rows.extend(scores.chunks_exact(columns).map(<[f64]>::to_vec));
        }
        if let Some(keys) = self.keys(first) {
            self.declared = Some(keys.iter().take(width).cloned().collect());
        }
        let rows: Vec<&[f64]> = rows.iter().map(Vec::as_slice).collect();
        self.decide(&rows, width);
        self.number_classes(runs, &rows);
        self.settle(width)?;
        let is_known =
            self.named.is_some() || self.declared.is_some() || self.outputs.label.is_some();
        if self.classifies() && !is_known {
            self.assumptions.push(
                "no class names, so the classes are LABEL_0, LABEL_1, …; a labels.txt with one name a \
                 line would give them"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// What the scores are, by runs.
    fn decide(&mut self, rows: &[&[f64]], width: usize) {
        let output = self.outputs.names().next().unwrap_or_default().to_owned();
        let several = self.outputs.label.as_ref().is_some_and(|label| label.several);
        let found = match Scale::by_runs(rows).filter(|_| width > 1) {
            Some(Scale::Probabilities) if several => Some(Scale::ProbabilityOfEach),
            found => found,
        };
        let (meaning, assumed) = match (self.meaning, found) {
            (Meaning::Open, Some(scale @ Scale::Probabilities)) => (
                Meaning::Classes(scale),
                "probabilities of classes, since they add up to 1 in every run; if they are values: \
                 scores = \"values\"",
            ),
            (Meaning::Open, _) => (
                Meaning::Values,
                "values, since they do not add up to 1; if they are scores of classes: scores = \
                 \"logits\"",
            ),
            (Meaning::Classes(Scale::Open), Some(scale @ Scale::Probabilities)) => (
                Meaning::Classes(scale),
                "probabilities, since they add up to 1 in every run; if they are not: scores = \
                 \"logits\"",
            ),
            (Meaning::Classes(Scale::Open), Some(scale)) => (
                Meaning::Classes(scale),
                "a probability of each label, since they lie within 0 and 1 in every run and do not \
                 add up to 1; if they are not: scores = \"logits\"",
            ),
            // No numbers change by it, but what they are called.
            (Meaning::Classes(Scale::Margins), Some(scale @ Scale::Probabilities)) => (
                Meaning::Classes(scale),
                "probabilities, since they add up to 1 in every run; they are passed on as they are",
            ),
            // A classical model's numbers are no logits.
            (Meaning::Classes(Scale::Open), None) if self.outputs.label.is_some() => (
                Meaning::Classes(Scale::Scores),
                "scores that are no probabilities, since they do not lie within 0 and 1; they are passed \
                 on as they are. If they are logits: scores = \"logits\"",
            ),
            (Meaning::Classes(Scale::Open), None) => (
                Meaning::Classes(Scale::Logits),
                "logits, since they do not lie within 0 and 1 in every run; if they are probabilities: \
                 scores = \"probabilities\"",
            ),
            _ => return,
        };
        self.meaning = meaning;
        self.meaning_from = WARM_UP;
        self.assumptions.push(format!("output `{output}` holds {assumed}"));
    }

    /// From which integer on the network's own label counts classes that nothing names, by runs of one row each.
    fn number_classes(&mut self, runs: &[Tensors], rows: &[&[f64]]) {
        let (Some(label), Meaning::Classes(scale), None) =
            (&self.outputs.label, self.meaning, &self.declared)
        else {
            return;
        };
        if label.several || rows.len() != runs.len() {
            return;
        }
        let first = |(run, scores): (&Tensors, &&[f64])| {
            let (texts, _) = run.get(&label.output.name).and_then(texts)?;
            let own: i64 = texts.first()?.parse().ok()?;
            Some(own - *scale.best(scores, 1).first()? as i64)
        };
        let firsts: Option<Vec<i64>> = runs.iter().zip(rows).map(first).collect();
        let Some([first, others @ ..]) = firsts.as_deref() else { return };
        // A label that is not always the best score's says nothing of where the classes begin.
        if *first == 0 || others.is_empty() || others.iter().any(|other| other != first) {
            return;
        }
        self.first_class = *first;
        self.assumptions.push(format!(
            "output `{}` counts classes from {first} on, since in every run it is the best score's place \
             and {first}",
            label.output.name
        ));
    }
}

/// What an output that cannot be read says of the task.
fn unfit(error: Error) -> Unserved {
    Unserved::Unfit(error.cause.unwrap_or(error.detail))
}

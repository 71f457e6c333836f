//! What sentence-transformers does to a text before it is tokenised.

use std::borrow::Cow;

use super::super::Text;

#[derive(Debug, Default, Clone)]
pub struct Preparation {
    /// Stands before every text, before the first of a pair.
    pub prompt: Option<String>,
    /// White space at both ends is dropped.
    pub strip: bool,
    pub lower_case: bool,
}

impl Preparation {
    pub fn of<'a>(&self, texts: &'a [Text]) -> Cow<'a, [Text]> {
        if texts.iter().any(|text| self.changes(text)) {
            return Cow::Owned(texts.iter().map(|text| self.prepare(text)).collect());
        }
        Cow::Borrowed(texts)
    }

    fn changes(&self, text: &Text) -> bool {
        let stripped = |text: &str| strip(text).len() != text.len();
        self.prompt.is_some()
            || self.lower_case
            || self.strip && (stripped(&text.text) || text.pair.as_deref().is_some_and(stripped))
    }

    fn prepare(&self, text: &Text) -> Text {
        let first = match &self.prompt {
            Some(prompt) => Cow::Owned(format!("{prompt}{}", text.text)),
            None => Cow::Borrowed(text.text.as_str()),
        };
        let one = |text: &str| {
            let text = if self.strip { strip(text) } else { text };
            if self.lower_case { text.to_lowercase() } else { text.to_owned() }
        };
        Text { field: text.field.clone(), text: one(&first), pair: text.pair.as_deref().map(one) }
    }
}

/// As Python's `str.strip`, for which four more control characters are white space.
fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

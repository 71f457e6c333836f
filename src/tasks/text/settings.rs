//! A tokenizer made to do what transformers does with the same folder: what the other files say goes before
//! `tokenizer.json`.

use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::{BertNormalizer, NormalizerWrapper, Sequence};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

use super::super::note::Note;
use super::tokenizer_class::{Arguments, Ends};
use super::tokenizer_config::{Said, TokenizerConfig};

/// What was changed of `tokenizer.json`, and by which file.
///
/// # Errors
/// A tokenizer that does not take it.
pub fn apply(tokenizer: &mut Tokenizer, config: &TokenizerConfig) -> Result<Vec<Note>, String> {
    let mut changes = Changes(Vec::new());
    match config.class.arguments {
        Arguments::Bert => bert(tokenizer, config, &mut changes)?,
        Arguments::Bytes | Arguments::Roberta => {
            let default = config.class.add_prefix_space;
            let space = config.argument("add_prefix_space", default);
            if config.class.arguments == Arguments::Roberta {
                offsets(tokenizer, config, &space);
            }
            bytes(tokenizer, &space, &mut changes);
        }
        Arguments::Pieces => pieces(tokenizer, config, &mut changes)?,
        // Other classes of transformers 4 follow it as well, if it is said; those of 5 do not.
        Arguments::None if config.class_name.as_deref() != Some("TokenizersBackend") => {
            if config.flag("add_prefix_space").is_some() {
                bytes(tokenizer, &config.argument("add_prefix_space", false), &mut changes);
            }
        }
        Arguments::None => {}
    }
    add_tokens(tokenizer, config)?;
    if let Some(class_ends) = config.class.ends
        && !config.is_of_transformers_5()
    {
        ends(tokenizer, config, class_ends, &mut changes)?;
    }
    if config.flag("split_special_tokens") == Some(true) {
        tokenizer.set_encode_special_tokens(true);
    }
    Ok(changes.0)
}

struct Changes(Vec<Note>);

impl Changes {
    fn note<T: PartialEq + std::fmt::Display>(&mut self, key: &str, was: &T, said: &Said<T>) {
        if *was != said.value {
            let value = format!("{key} = {}, in the place of {was}", said.value);
            self.0.push(Note::new("tokenizer setting", value, said.from));
        }
    }
}

fn bert(
    tokenizer: &mut Tokenizer,
    config: &TokenizerConfig,
    changes: &mut Changes,
) -> Result<(), String> {
    let mut normalizer = match tokenizer.get_normalizer() {
        Some(NormalizerWrapper::BertNormalizer(normalizer)) => *normalizer,
        None => BertNormalizer::default(),
        // One that somebody put together is left as it is.
        Some(_) => return Ok(()),
    };
    let lower = config.argument("do_lower_case", true);
    let chinese = config.argument("tokenize_chinese_chars", true);
    changes.note("do_lower_case", &normalizer.lowercase, &lower);
    changes.note("tokenize_chinese_chars", &normalizer.handle_chinese_chars, &chinese);
    let accents = config.flag("strip_accents");
    let word = |accents: Option<bool>| accents.map_or("null".to_owned(), |strip| strip.to_string());
    let said = Said { value: word(accents), from: config.argument("strip_accents", true).from };
    changes.note("strip_accents", &word(normalizer.strip_accents), &said);
    normalizer.lowercase = lower.value;
    normalizer.handle_chinese_chars = chinese.value;
    normalizer.strip_accents = accents;
    set_normalizer(tokenizer, Some(normalizer.into()))
}

fn set_normalizer(
    tokenizer: &mut Tokenizer,
    normalizer: Option<NormalizerWrapper>,
) -> Result<(), String> {
    tokenizer.with_normalizer(normalizer).map_err(|e| format!("tokenizer.json: {e}"))?;
    Ok(())
}

/// Whether a space goes before the first word's bytes.
fn bytes(tokenizer: &mut Tokenizer, space: &Said<bool>, changes: &mut Changes) {
    if let Some(PreTokenizerWrapper::ByteLevel(level)) = tokenizer.get_pre_tokenizer() {
        let mut level = *level;
        changes.note("add_prefix_space", &level.add_prefix_space, space);
        level.add_prefix_space = space.value;
        tokenizer.with_pre_tokenizer(Some(level));
    }
}

/// Where a token is said to begin and end.
fn offsets(tokenizer: &mut Tokenizer, config: &TokenizerConfig, space: &Said<bool>) {
    let trim = config.argument("trim_offsets", true).value;
    let changed = match tokenizer.get_post_processor().cloned() {
        Some(PostProcessorWrapper::Roberta(roberta)) => {
            PostProcessorWrapper::Roberta(roberta.trim_offsets(trim).add_prefix_space(space.value))
        }
        Some(PostProcessorWrapper::ByteLevel(level)) => {
            PostProcessorWrapper::ByteLevel(level.trim_offsets(trim).add_prefix_space(space.value))
        }
        _ => return,
    };
    tokenizer.with_post_processor(Some(changed));
}

/// Whether sentencepiece's space stands before a text, if it is said.
fn pieces(
    tokenizer: &mut Tokenizer,
    config: &TokenizerConfig,
    changes: &mut Changes,
) -> Result<(), String> {
    let Some(space) = config.flag("add_prefix_space") else { return Ok(()) };
    let said = Said { value: space, from: "tokenizer_config.json" };
    let scheme = |was: PrependScheme| match (space, was) {
        (false, _) => PrependScheme::Never,
        (true, PrependScheme::Never) if config.flag("legacy") == Some(false) => {
            PrependScheme::First
        }
        (true, PrependScheme::Never) => PrependScheme::Always,
        (true, was) => was,
    };
    if let Some(PreTokenizerWrapper::Metaspace(metaspace)) = tokenizer.get_pre_tokenizer() {
        let mut metaspace = metaspace.clone();
        let was = metaspace.get_prepend_scheme();
        changes.note("add_prefix_space", &(was != PrependScheme::Never), &said);
        metaspace.set_prepend_scheme(scheme(was));
        tokenizer.with_pre_tokenizer(Some(metaspace));
    } else if let Some(PreTokenizerWrapper::Sequence(sequence)) = tokenizer.get_pre_tokenizer() {
        let mut parts: Vec<_> = sequence.as_ref().to_vec();
        for part in &mut parts {
            if let PreTokenizerWrapper::Metaspace(metaspace) = part {
                let was = metaspace.get_prepend_scheme();
                changes.note("add_prefix_space", &(was != PrependScheme::Never), &said);
                metaspace.set_prepend_scheme(scheme(was));
            }
        }
        let sequence = tokenizers::pre_tokenizers::sequence::Sequence::new(parts);
        tokenizer.with_pre_tokenizer(Some(sequence));
    }
    // The older form prepends the space as text.
    if let Some(NormalizerWrapper::Sequence(sequence)) = tokenizer.get_normalizer()
        && !space
    {
        let is_prepend = |part: &&NormalizerWrapper| matches!(part, NormalizerWrapper::Prepend(_));
        if sequence.as_ref().iter().any(|part| is_prepend(&part)) {
            changes.note("add_prefix_space", &true, &said);
            let parts =
                sequence.as_ref().iter().filter(|part| !is_prepend(part)).cloned().collect();
            set_normalizer(tokenizer, Some(Sequence::new(parts).into()))?;
        }
    }
    Ok(())
}

/// Tokens that the other files name: they are found in a text before anything else is.
fn add_tokens(tokenizer: &mut Tokenizer, config: &TokenizerConfig) -> Result<(), String> {
    let is_there = |tokenizer: &Tokenizer, token: &AddedToken| {
        tokenizer.get_added_vocabulary().get_vocab().contains_key(&token.content)
    };
    let add = |tokenizer: &mut Tokenizer, tokens: Vec<AddedToken>| match tokens.is_empty() {
        true => Ok(()),
        false => tokenizer.add_tokens(tokens).map(drop).map_err(|e| format!("added tokens: {e}")),
    };
    add(tokenizer, config.added.clone())?;
    // A name for which the vocabulary has no id would get one that the network does not know.
    let named = config.special_tokens().into_iter().filter(|token| !is_there(tokenizer, token));
    let known: Vec<_> =
        named.filter(|token| tokenizer.token_to_id(&token.content).is_some()).collect();
    add(tokenizer, known)
}

/// The tokens before and after a text, made anew.
fn ends(
    tokenizer: &mut Tokenizer,
    config: &TokenizerConfig,
    class: Ends,
    changes: &mut Changes,
) -> Result<(), String> {
    let token = |key: &str, default: &'static str| {
        // A null means that there is none.
        let token = if config.has(key) { config.token(key)? } else { default };
        Some((token.to_owned(), tokenizer.token_to_id(token)?))
    };
    let add_bos = config.argument("add_bos_token", class.add_bos);
    let add_eos = config.argument("add_eos_token", false);
    let bos = add_bos.value.then(|| token("bos_token", class.bos)).flatten();
    let eos = add_eos.value.then(|| token("eos_token", class.eos)).flatten();
    if (add_bos.value && bos.is_none()) || (add_eos.value && eos.is_none()) {
        return Ok(());
    }
    let side = |sequence: &str, type_id: u8| {
        let mark = |token: &Option<(String, u32)>| {
            token.as_ref().map(|(token, _)| format!("{token}:{type_id}"))
        };
        let parts = [mark(&bos), Some(format!("${sequence}:{type_id}")), mark(&eos)];
        parts.into_iter().flatten().collect::<Vec<_>>()
    };
    let (single, second) = (side("A", 0), side("B", 1));
    let mut template = TemplateProcessing::builder();
    let built = template
        .try_single(single.clone())
        .and_then(|template| template.try_pair([single, second].concat()))
        .map(|template| {
            template.special_tokens([bos, eos].into_iter().flatten().collect::<Vec<_>>())
        })
        .and_then(|template| template.build().map_err(|e| e.to_string()))
        .map_err(|e| format!("tokenizer_config.json (bos_token, eos_token): {e}"))?;
    let built = PostProcessorWrapper::Template(built);
    if tokenizer.get_post_processor() != Some(&built) {
        let value = format!(
            "add_bos_token = {}, add_eos_token = {}, in the place of the post-processor",
            add_bos.value, add_eos.value
        );
        changes.0.push(Note::new("tokenizer setting", value, add_bos.from));
        tokenizer.with_post_processor(Some(built));
    }
    Ok(())
}

/// Kind and size of the vocabulary.
pub fn describe(tokenizer: &Tokenizer) -> String {
    let kind = match tokenizer.get_model() {
        ModelWrapper::BPE(_) => "BPE",
        ModelWrapper::WordPiece(_) => "WordPiece",
        ModelWrapper::WordLevel(_) => "WordLevel",
        ModelWrapper::Unigram(_) => "Unigram",
    };
    format!("{kind}, {} tokens", tokenizer.get_vocab_size(true))
}

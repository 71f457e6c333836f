//! Texts become the tokens that transformers makes of them with the same folder. A network that tells which
//! tokens it was given answers: their sum, their sum weighted by the place, and their number.

use serde_json::{Value, json};

use crate::network::{FP32, INT64, Network};
use crate::support::{Folder, Server, onnxd};

const WORDS: [&str; 20] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "i", "love", "it", "I", "Love", "cafe", "café",
    "中", "文", "中文", "a", "b", "c", "<ent>", "</s>",
];

fn id(word: &str) -> usize {
    WORDS.iter().position(|known| *known == word).unwrap()
}

fn vocabulary() -> Value {
    WORDS.iter().enumerate().map(|(id, word)| ((*word).to_owned(), json!(id))).collect()
}

fn added(words: &[&str]) -> Value {
    let token = |word: &&str| {
        json!({"id": id(word), "content": word, "single_word": false, "lstrip": false,
               "rstrip": false, "normalized": false, "special": true})
    };
    words.iter().map(token).collect()
}

/// A tokenizer of whole words, as BERT's.
fn bert() -> Value {
    let special = |word: &str| json!({"SpecialToken": {"id": word, "type_id": 0}});
    let text = |name: &str| json!({"Sequence": {"id": name, "type_id": 0}});
    let (first, last) = (special("[CLS]"), special("[SEP]"));
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": added(&WORDS[..5]),
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [first, text("A"), last],
            "pair": [first, text("A"), last, text("B"), last],
            "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                               "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}},
        },
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocabulary()},
    })
}

/// One of words between spaces, with nothing around a text.
fn plain() -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary(), "unk_token": "[UNK]"},
    })
}

/// A folder `m` with these files beside the network. The last may take the place of an earlier one.
fn folder(files: &[(&str, &Value)]) -> Folder {
    let folder = Folder::new();
    let probe = "tests/fixtures/models/token-probe";
    folder.copy(format!("{probe}/model.onnx"), "m/model.onnx");
    folder.copy(format!("{probe}/labels.txt"), "m/labels.txt");
    let config = json!({"model_type": "bert", "max_position_embeddings": 16});
    folder.write("m/config.json", config.to_string());
    for (name, content) in files {
        folder.write(&format!("m/{name}"), content.to_string());
    }
    folder
}

async fn server(files: &[(&str, &Value)]) -> Server {
    Server::start(folder(files).load().unwrap_or_else(|error| panic!("{error:#}"))).await
}

/// The tokens that the network was given, as far as its scores tell.
fn scores(entry: &Value) -> [f64; 3] {
    let classes = entry["classes"].as_array().unwrap();
    ["sum", "weighted", "count"].map(|label| {
        let class = classes.iter().find(|class| class["label"] == label).unwrap();
        class["score"].as_f64().unwrap()
    })
}

fn of(tokens: &str) -> [f64; 3] {
    let ids: Vec<usize> = tokens.split_whitespace().map(id).collect();
    let weighted: usize = ids.iter().zip(1..).map(|(id, place)| id * place).sum();
    [ids.iter().sum(), weighted, ids.len()].map(|number| number as f64)
}

/// Each text, or pair, has these tokens.
async fn has_tokens(files: &[(&str, &Value)], expected: &[(Value, &str)]) {
    let server = server(files).await;
    for (text, tokens) in expected {
        let body = json!({ "text": [text] });
        let answer = server.json("/predict/m?raw_scores=true&top_k=3", body).await;
        assert_eq!(scores(&answer.result()[0]), of(tokens), "{text}: {tokens}\n{files:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_berts_classes_say_of_letters_goes_before_the_tokenizers_own() {
    let text = || json!("I Love café");
    let chinese = || json!("中文");
    for (class, keys, tokens, of_chinese) in [
        ("BertTokenizer", json!({"do_lower_case": false}), "I Love café", "中 文"),
        ("DistilBertTokenizerFast", json!({"do_lower_case": true}), "i love cafe", "中 文"),
        ("ElectraTokenizer", json!({"strip_accents": false}), "i love café", "中 文"),
        ("MPNetTokenizer", json!({"tokenize_chinese_chars": false}), "i love cafe", "中文"),
        // Not these: they take tokenizer.json as it is.
        ("PreTrainedTokenizerFast", json!({"do_lower_case": false}), "i love cafe", "中 文"),
        ("AlbertTokenizer", json!({"do_lower_case": false}), "i love cafe", "中 文"),
    ] {
        let mut config = keys;
        config["tokenizer_class"] = json!(class);
        let files = [("tokenizer.json", &bert()), ("tokenizer_config.json", &config)];
        let around = |tokens: &str| format!("[CLS] {tokens} [SEP]");
        let (first, second) = (around(tokens), around(of_chinese));
        has_tokens(&files, &[(text(), &first), (chinese(), &second)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_has_defaults_even_where_no_file_names_it() {
    let mut cased = bert();
    cased["normalizer"]["lowercase"] = json!(false);
    let model = json!({"model_type": "distilbert", "max_position_embeddings": 16});
    let files = [("tokenizer.json", &cased), ("config.json", &model)];
    has_tokens(&files, &[(json!("I Love it"), "[CLS] i love it [SEP]")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncation_that_training_left_does_not_bind() {
    let mut tokenizer = bert();
    tokenizer["truncation"] =
        json!({"direction": "Right", "max_length": 4, "strategy": "OnlyFirst", "stride": 1});
    tokenizer["padding"] = json!({"strategy": {"Fixed": 12}, "direction": "Right", "pad_to_multiple_of": 8,
                                  "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"});
    let config = json!({"tokenizer_class": "BertTokenizer", "model_max_length": 8});
    let files = [("tokenizer.json", &tokenizer), ("tokenizer_config.json", &config)];
    let expected = [
        (json!("a b c a b c a b c"), "[CLS] a b c a b c [SEP]"),
        // The longer one of a pair is cut.
        (json!(["a b", "c c c c c c"]), "[CLS] a b [SEP] c c c [SEP]"),
    ];
    has_tokens(&files, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_of_windows_is_given_whole_ones() {
    // As Longformer's, it takes lengths that are a multiple of its window alone. It answers the sum over all
    // windows at each of their four places; the token that sees all others counts 100 more.
    let network = Network::default()
        .input("input_ids", INT64, &[None, None])
        .input("attention_mask", INT64, &[None, None])
        .input("global_attention_mask", INT64, &[None, None])
        .list("windows", &[0, -1, 4])
        .list("axis", &[1])
        .number("hundred", INT64, &100_i64.to_le_bytes())
        .node("Mul", &["global_attention_mask", "hundred"], "global")
        .node("Mul", &["input_ids", "attention_mask"], "tokens")
        .node("Add", &["tokens", "global"], "both")
        .node("Reshape", &["both", "windows"], "parted")
        .node_with("ReduceSum", &["parted", "axis"], "sums", &[("keepdims", 0)])
        .node_with("Cast", &["sums"], "logits", &[("to", FP32.into())])
        .output("logits", FP32, &[None, Some(4)]);
    let config = json!({"architectures": ["LongformerForSequenceClassification"], "model_type": "longformer",
                        "attention_window": [2, 4], "max_position_embeddings": 18, "pad_token_id": 0});
    let folder = folder(&[("tokenizer.json", &bert()), ("config.json", &config)]);
    folder.write("m/model.onnx", network.bytes());
    folder.write("m/labels.txt", "0\n1\n2\n3\n");
    let server = Server::start(folder.load().unwrap_or_else(|error| panic!("{error:#}"))).await;
    // [CLS] a b c | c c [SEP] and [CLS] a [SEP].
    let body = json!({"text": ["a b c c c", "a"]});
    let answer = server.json("/predict/m?raw_scores=true&top_k=4", body).await;
    let sums = |index: usize| {
        let classes = answer.result()[index]["classes"].as_array().unwrap().clone();
        ["0", "1", "2", "3"].map(|place| {
            let class = classes.iter().find(|class| class["label"] == place).unwrap();
            class["score"].as_f64().unwrap() as usize
        })
    };
    let [a, b, c] = ["a", "b", "c"].map(id);
    assert_eq!(sums(0), [102 + c, a + c, b + 3, c]);
    assert_eq!(sums(1), [102, a, 3, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_cut_on_the_side_that_the_files_name() {
    let mut left = bert();
    left["truncation"] =
        json!({"direction": "Left", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
    let (beginning, end) = ("[CLS] a b c [SEP]", "[CLS] b c i [SEP]");
    for (tokenizer, side, tokens) in [
        (bert(), json!("left"), end),
        (left.clone(), json!("right"), beginning),
        (left, json!(null), end),
    ] {
        let mut config = json!({"tokenizer_class": "BertTokenizer", "model_max_length": 5});
        if !side.is_null() {
            config["truncation_side"] = side;
        }
        let files = [("tokenizer.json", &tokenizer), ("tokenizer_config.json", &config)];
        has_tokens(&files, &[(json!("a b c a b c i"), tokens)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_say_nothing_are_passed_over() {
    let long = || json!("a ".repeat(40));
    let at_positions = format!("[CLS] {} [SEP]", "a ".repeat(14));
    let huge: Value = serde_json::from_str("1000000000000000019884624838656").unwrap();
    for nothing in [json!(-1), json!(null), json!("many"), json!(0), json!([8]), huge] {
        let mut config = json!({"tokenizer_class": null, "pad_token": null, "padding_side": null});
        config["model_max_length"] = nothing.clone();
        let files = [("tokenizer.json", &bert()), ("tokenizer_config.json", &config)];
        has_tokens(&files, &[(long(), &at_positions)]).await;

        let model = json!({"max_position_embeddings": nothing, "pad_token_id": nothing});
        let config = json!({"tokenizer_class": "BertTokenizer", "model_max_length": 16.0});
        let files = [
            ("tokenizer.json", &bert()),
            ("tokenizer_config.json", &config),
            ("config.json", &model),
        ];
        has_tokens(&files, &[(long(), &at_positions)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_other_files_add_are_found_in_a_text() {
    let text = || json!("a<ent>b");
    let (found, split) = ("a <ent> b", "a [UNK] [UNK] [UNK] b");
    let special = json!({"additional_special_tokens": ["<ent>"]});
    let ids = json!({"<ent>": id("<ent>")});
    let token = json!({"content": "<ent>", "special": true});
    let decoder = json!({"added_tokens_decoder": {"18": token}});
    // With it transformers does not read the older files.
    let without = json!({"added_tokens_decoder": {}});
    for (name, file, config, tokens) in [
        ("special_tokens_map.json", &special, json!({}), found),
        ("added_tokens.json", &ids, json!({}), found),
        ("special_tokens_map.json", &special, without, split),
        ("other.json", &special, decoder, found),
        ("other.json", &special, json!({"mask_token": {"content": "<ent>"}}), found),
        ("other.json", &special, json!({}), split),
    ] {
        let files =
            [("tokenizer.json", &plain()), (name, file), ("tokenizer_config.json", &config)];
        has_tokens(&files, &[(text(), tokens)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tokens_around_a_text_are_those_of_llamas_configuration() {
    for (config, tokens) in [
        (json!({"add_bos_token": true, "add_eos_token": true}), "[CLS] a [SEP]"),
        (json!({"add_bos_token": false, "add_eos_token": true}), "a [SEP]"),
        (json!({"add_bos_token": false}), "a"),
        (json!({}), "[CLS] a"),
        // transformers 5 has it in tokenizer.json.
        (json!({"backend": "tokenizers", "add_eos_token": true}), "a"),
    ] {
        let mut config = config;
        config["tokenizer_class"] = json!("LlamaTokenizer");
        config["bos_token"] = json!("[CLS]");
        config["eos_token"] = json!("[SEP]");
        let files = [("tokenizer.json", &plain()), ("tokenizer_config.json", &config)];
        has_tokens(&files, &[(json!("a"), tokens)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_space_goes_before_a_text_where_the_configuration_says_so() {
    // Bytes: `Ġ` is a space.
    let vocabulary = json!({"<s>": 0, "</s>": 2, "a": 15, "Ġ": 1, "Ġa": 16});
    let tokenizer = |space: bool| {
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": null, "decoder": null,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": true},
            "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0],
                               "trim_offsets": true, "add_prefix_space": space},
            "model": {"type": "BPE", "vocab": vocabulary, "merges": [["Ġ", "a"]]},
        })
    };
    let (with, without) = (16.0, 15.0);
    for (class, config, own, token) in [
        ("RobertaTokenizer", json!({"add_prefix_space": true}), false, with),
        ("RobertaTokenizerFast", json!({"add_prefix_space": false}), true, without),
        ("GPT2Tokenizer", json!({}), true, without),
        ("PreTrainedTokenizerFast", json!({"add_prefix_space": true}), false, with),
        ("PreTrainedTokenizerFast", json!({}), true, with),
        ("TokenizersBackend", json!({"add_prefix_space": true}), false, without),
    ] {
        let mut config = config;
        config["tokenizer_class"] = json!(class);
        let files = [("tokenizer.json", &tokenizer(own)), ("tokenizer_config.json", &config)];
        let answer =
            server(&files).await.json("/predict/m?raw_scores=true", json!({"text": "a"})).await;
        // The tokens around it are 0 and 2.
        assert_eq!(scores(&answer.result()[0])[0] - 2.0, token, "{class} {config} {own}");
    }
}

#[test]
fn the_start_says_where_texts_are_cut_at_less_than_the_model_takes() {
    let told = |config: &Value, more: &[(&str, &Value)]| {
        let tokenizer = bert();
        let mut files = vec![("tokenizer.json", &tokenizer), ("tokenizer_config.json", config)];
        files.extend(more);
        let folder = folder(&files);
        let models = folder.path().to_str().unwrap();
        let out = onnxd(&["serve", "--check", "--models", models]).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stderr).unwrap() + &String::from_utf8(out.stdout).unwrap()
    };
    let eight = json!({"model_max_length": 8});
    let said = told(&eight, &[]);
    let cut = "texts are cut at 8 tokens (tokenizer_config.json), though the model takes 16";
    assert!(said.contains(cut), "{said}");
    let said = told(
        &eight,
        &[
            ("modules.json", &json!([])),
            ("sentence_bert_config.json", &json!({"max_seq_length": 6})),
        ],
    );
    let cut = "texts are cut at 6 tokens (sentence_bert_config.json), though the model takes 16";
    assert!(said.contains(cut), "{said}");
    let said = told(&json!({"model_max_length": 512}), &[]);
    assert!(!said.contains("texts are cut"), "{said}");
    let said = told(&json!({}), &[("config.json", &json!({}))]);
    assert!(said.contains("texts are cut at 512 tokens, since no file says"), "{said}");
}

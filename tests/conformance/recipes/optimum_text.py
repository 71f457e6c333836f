"""Classifiers of texts that optimum exports: one of each architecture, then the kinds of heads and names."""

import functools

import common
import deep_export as export
import deep_tensors
import deep_text as text

REQUIREMENTS = "deep"

SP = dict(name="sentencepiece.bpe.model")
T5 = dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>")
ALBERT = dict(pad_id=0, unk_id=1, bos_id=2, eos_id=3, pad_piece="<pad>", bos_piece="[CLS]", eos_piece="[SEP]",
              control_symbols=["[MASK]"])  # fmt: skip
GEMMA = dict(name="tokenizer.model", kind="bpe", size=420, byte_fallback=True, pad_id=0, eos_id=1, bos_id=2, unk_id=3,
             pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>")  # fmt: skip
LLAMA = dict(name="tokenizer.model", kind="bpe", size=420, byte_fallback=True, pad_token="</s>", legacy=False)

SMALL = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24, initializer_range=0.3,
             max_position_embeddings=52)  # fmt: skip
DECODER = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2, intermediate_size=24,
               initializer_range=0.3, max_position_embeddings=64, head_dim=8)  # fmt: skip
BART = dict(d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
            encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=64, init_std=0.3)  # fmt: skip


def architectures() -> dict:
    """Name: (start of the class' name, configuration, tokenizer)."""
    one = functools.partial
    bert, roberta, gpt2, pieces = text.bert, text.roberta, text.gpt2, text.pieces
    padded = one(gpt2, pad_token="<|endoftext|>")
    return {
        "albert": ("Albert", SMALL | dict(embedding_size=16), one(pieces, cls="AlbertTokenizerFast", **ALBERT)),
        "bart": ("Bart", BART, one(roberta, cls="BartTokenizerFast")),
        "bert": ("Bert", SMALL, bert),
        "big-bird": ("BigBird", SMALL | dict(attention_type="original_full"),
                     one(pieces, cls="BigBirdTokenizerFast", pad_id=0, eos_id=1, bos_id=2, unk_id=3,
                         pad_piece="<pad>", control_symbols=["[SEP]", "[MASK]", "[CLS]"])),
        "bloom": ("Bloom", dict(hidden_size=16, n_layer=1, n_head=2, initializer_range=0.3), bloom),
        "camembert": ("Camembert", SMALL, one(pieces, cls="CamembertTokenizerFast",
                                              user_defined_symbols=["<s>NOTUSED"], **SP)),
        "convbert": ("ConvBert", SMALL | dict(embedding_size=16, head_ratio=1, conv_kernel_size=3),
                     one(bert, cls="ConvBertTokenizerFast")),
        "data2vec-text": ("Data2VecText", SMALL, roberta),
        "deberta": ("Deberta", SMALL | dict(relative_attention=True, pos_att_type=["c2p", "p2c"], max_relative_positions=16),
                    deberta),
        "deberta-v2": ("DebertaV2", SMALL | dict(relative_attention=True, pos_att_type=["c2p", "p2c"],
                                                 position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True,
                                                 position_biased_input=False, type_vocab_size=0),
                       one(pieces, cls="DebertaV2TokenizerFast", name="spm.model", pad_id=0, bos_id=1, eos_id=2,
                           unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]")),
        "distilbert": ("DistilBert", dict(dim=16, n_layers=1, n_heads=2, hidden_dim=24, initializer_range=0.3,
                                          max_position_embeddings=52), one(bert, cls="DistilBertTokenizerFast")),
        "electra": ("Electra", SMALL | dict(embedding_size=16), one(bert, cls="ElectraTokenizerFast")),
        "esm": ("Esm", SMALL | dict(mask_token_id=4, pad_token_id=0, position_embedding_type="rotary"), bert),
        "flaubert": ("Flaubert", dict(emb_dim=16, n_layers=1, n_heads=2, max_position_embeddings=64, init_std=0.3,
                                      embed_init_std=0.3), bert),
        "gemma": ("Gemma", DECODER, one(pieces, cls="GemmaTokenizerFast", **GEMMA)),
        "gemma2": ("Gemma2", DECODER | dict(query_pre_attn_scalar=8, sliding_window=32),
                   one(pieces, cls="GemmaTokenizerFast", **GEMMA)),
        "gpt2": ("GPT2", dict(n_embd=16, n_layer=1, n_head=2, n_positions=64, initializer_range=0.3), padded),
        "gpt-bigcode": ("GPTBigCode", dict(n_embd=16, n_layer=1, n_head=2, n_positions=64, initializer_range=0.3),
                        padded),
        "gpt-neo": ("GPTNeo", dict(hidden_size=16, num_layers=1, num_heads=2, attention_types=[[["global"], 1]],
                                   max_position_embeddings=64, initializer_range=0.3), padded),
        "gpt-neox": ("GPTNeoX", SMALL | dict(rotary_pct=0.5), padded),
        "gptj": ("GPTJ", dict(n_embd=16, n_layer=1, n_head=2, n_positions=64, rotary_dim=4, initializer_range=0.3),
                 padded),
        "ibert": ("IBert", SMALL, roberta),
        "llama": ("Llama", DECODER, one(pieces, cls="LlamaTokenizerFast", **LLAMA)),
        "longformer": ("Longformer", SMALL | dict(attention_window=[8], max_position_embeddings=66),
                       one(roberta, cls="LongformerTokenizerFast")),
        "mbart": ("MBart", BART, one(pieces, cls="MBartTokenizerFast", **SP)),
        "megatron-bert": ("MegatronBert", SMALL, bert),
        "mistral": ("Mistral", DECODER | dict(sliding_window=32), one(pieces, cls="LlamaTokenizerFast", **LLAMA)),
        "mobilebert": ("MobileBert", SMALL | dict(embedding_size=16, true_hidden_size=16, intra_bottleneck_size=16,
                                                  num_feedforward_networks=1, trigram_input=False),
                       one(bert, cls="MobileBertTokenizerFast")),
        "modernbert": ("ModernBert", SMALL | dict(initializer_cutoff_factor=2.0, local_attention=16), modernbert),
        "mpnet": ("MPNet", SMALL, mpnet),
        "mpt": ("Mpt", dict(d_model=16, n_layers=1, n_heads=2, max_seq_len=64, expansion_ratio=2,
                            initializer_range=0.3), padded),
        "nystromformer": ("Nystromformer", SMALL | dict(num_landmarks=64, segment_means_seq_len=64), roberta),
        "opt": ("OPT", dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, ffn_dim=24, init_std=0.3,
                            max_position_embeddings=64, word_embed_proj_dim=16), one(roberta, cls="BartTokenizerFast")),
        "phi": ("Phi", DECODER, padded),
        "phi3": ("Phi3", DECODER, one(pieces, cls="LlamaTokenizerFast", **LLAMA)),
        "qwen2": ("Qwen2", DECODER, one(gpt2, cls="Qwen2TokenizerFast", pad_token="<|endoftext|>")),
        "qwen3": ("Qwen3", DECODER, one(gpt2, cls="Qwen2TokenizerFast", pad_token="<|endoftext|>")),
        "rembert": ("RemBert", SMALL | dict(input_embedding_size=16),
                    one(pieces, cls="RemBertTokenizerFast", name="sentencepiece.model", pad_id=0, unk_id=1, bos_id=2,
                        eos_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]")),
        "roberta": ("Roberta", SMALL, roberta),
        "roformer": ("RoFormer", SMALL | dict(embedding_size=16), bert),
        "smollm3": ("SmolLM3", DECODER, padded),
        "squeezebert": ("SqueezeBert", SMALL | dict(embedding_size=16, q_groups=1, k_groups=1, v_groups=1,
                                                    post_attention_groups=1, intermediate_groups=1, output_groups=1),
                        one(bert, cls="SqueezeBertTokenizerFast")),
        "xlm": ("XLM", dict(emb_dim=16, n_layers=1, n_heads=2, max_position_embeddings=64, init_std=0.3,
                            embed_init_std=0.3, n_langs=1), bert),
        "xlm-roberta": ("XLMRoberta", SMALL, one(pieces, cls="XLMRobertaTokenizerFast", **SP)),
    }  # fmt: skip


def bloom(folder, **options):
    import transformers

    backend = text.gpt2(folder).backend_tokenizer
    return transformers.BloomTokenizerFast(tokenizer_object=backend, padding_side="left", model_max_length=48,
                                           pad_token="<|endoftext|>", **options)  # fmt: skip


def deberta(folder):
    import transformers

    vocabulary, merges = text.byte_level_files(folder, ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"])
    return transformers.DebertaTokenizerFast(vocab_file=vocabulary, merges_file=merges, model_max_length=48)


def mpnet(folder):
    import transformers

    file = text.wordpiece_file(folder, ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"], True)
    return transformers.MPNetTokenizerFast(vocab_file=file, model_max_length=48)


def modernbert(folder):
    import tokenizers_families

    return tokenizers_families.modernbert(folder)


def special(tokenizer) -> dict:
    """The configuration's numbers of special tokens, as a published config.json has them."""
    found = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    for name in ("bos", "eos", "cls", "sep"):
        number = getattr(tokenizer, f"{name}_token_id")
        if number is not None:
            found[f"{name}_token_id"] = number
    return found


def model_of(architecture: str, config: dict, tokenizer, kind: str = "SequenceClassification"):
    import transformers

    name = {"MPT": "Mpt"}.get(architecture, architecture)
    configuration = getattr(transformers, f"{name}Config")(**(special(tokenizer) | config))
    return getattr(transformers, f"{name}For{kind}")(configuration).eval()


def encoded(tokenizer, texts) -> list[dict]:
    made = []
    for one in texts:
        row = tokenizer(*(one if isinstance(one, list) else [one]), return_tensors="pt", truncation=True)
        made.append(dict(row))
    return made


def classifier(folder, start, config, make, labels, texts=None, after=None):
    tokenizer = make(folder)
    model = model_of(start, config | labels, tokenizer)
    wanted = ["input_ids", "attention_mask"] + (["token_type_ids"] if "token_type_ids" in tokenizer.model_input_names else [])
    rows = [{key: row[key] for key in wanted if key in row} for row in encoded(tokenizer, texts or export.TEXTS)]
    export.spread(model, rows)
    # optimum refuses to export without a number for padding, which published folders may lack all the same.
    missing = {"pad_token_id": 0} if model.config.pad_token_id is None else {}
    export.export(folder, model, make(folder), "text-classification", **missing)
    if missing:
        text.edit(folder, "config.json", lambda said: said.pop("pad_token_id", None))
    if after:
        after(folder)
    for name in text.SLOW:
        (folder / name).unlink(missing_ok=True)
    return export.classified(folder, model, texts)


PAIRS = [["how many people live in London?", "Ada Lovelace lived in London"], ["the price", "the fox"],
         ["a lovely day", "she sells sea shells by the sea shore, don't you think so?"]]  # fmt: skip

NAMED = export.names(export.NAMES)
COMMITTED = {"bert", "distilbert", "electra", "roberta", "xlm-roberta"}  # fmt: skip


def activation(folder, name: str) -> None:
    """As sentence-transformers' CrossEncoder saves which function is laid over the logit."""
    text.edit(folder, "config.json", lambda said: said.update(
        {"sentence_transformers": {"activation_fn": name, "version": "5.1.0"}}))  # fmt: skip


def heads() -> dict:
    one = functools.partial
    bert = dict(start="Bert", config=SMALL, make=text.bert)
    roberta = dict(start="Roberta", config=SMALL, make=text.roberta)
    gpt2 = dict(start="GPT2", config=dict(n_embd=16, n_layer=1, n_head=2, n_positions=64, initializer_range=0.3))
    qwen3 = dict(start="Qwen3", config=DECODER)
    padded = one(text.gpt2, pad_token="<|endoftext|>")
    several = dict(problem_type="multi_label_classification")
    return {
        "two-without-names": one(classifier, **bert, labels={"num_labels": 2}),
        "five-without-names": one(classifier, **bert, labels={"num_labels": 5}),
        "names-dropped-from-config": one(classifier, **bert, labels={"num_labels": 3}, after=drop_names),
        "names-that-are-numbers": one(classifier, **bert, labels=export.names(["1 star", "2 stars", "3 stars"])),
        "names-as-integers": one(classifier, **bert, labels=NAMED, after=integer_names),
        "names-eleven": one(classifier, **bert, labels=export.names([f"topic {i}" for i in range(11)])),
        "names-unicode": one(classifier, **bert, labels=export.names(["schön", "普通", "плохо"])),
        "one-label": one(classifier, **bert, labels={"num_labels": 1}),
        "one-label-named": one(classifier, **bert, labels=export.names(["toxic"])),
        "one-label-regression": one(classifier, **bert, labels={"num_labels": 1, "problem_type": "regression"}),
        "several-values": one(classifier, **bert, labels={"num_labels": 3, "problem_type": "regression"}),
        "multi-label": one(classifier, **bert, labels=NAMED | several),
        "multi-label-roberta": one(classifier, **roberta, labels=export.names(list("abcdef")) | several),
        "single-label-said": one(classifier, **bert, labels=NAMED | {"problem_type": "single_label_classification"}),
        "pairs": one(classifier, **bert, labels=export.names(["entailment", "neutral", "contradiction"]), texts=PAIRS),
        "pairs-roberta": one(classifier, **roberta, labels=export.names(["contradiction", "neutral", "entailment"]),
                             texts=PAIRS),
        "zero-shot-bart": one(classifier, start="Bart", config=BART, make=one(text.roberta, cls="BartTokenizerFast"),
                              labels=export.names(["contradiction", "neutral", "entailment"]), texts=PAIRS),
        "gpt2-padding-left": one(classifier, **gpt2, make=one(padded, padding_side="left"), labels=NAMED),
        "gpt2-no-padding-token": one(classifier, **gpt2, make=text.gpt2, labels=NAMED),
        "gpt2-one-label": one(classifier, **gpt2, make=padded, labels={"num_labels": 1}),
        "qwen3-no-padding-token": one(classifier, **qwen3, make=one(text.gpt2, cls="Qwen2TokenizerFast", pad_token=None),
                                      labels=NAMED),
        "qwen3-reranker": one(classifier, **qwen3, make=one(text.gpt2, cls="Qwen2TokenizerFast", pad_token="<|endoftext|>",
                                                            padding_side="left"),
                              labels={"num_labels": 1}, texts=PAIRS),
        "llama-padding-left": one(classifier, start="Llama", config=DECODER, labels=NAMED,
                                  make=one(text.pieces, cls="LlamaTokenizerFast", padding_side="left", **LLAMA)),
        "layout-onnx-folder": one(classifier, **bert, labels=NAMED, after=in_onnx_folder),
        "layout-quantized-only": one(quantized_only, make=one(classifier, **bert, labels=NAMED)),
        "length-16": one(classifier, **bert | {"make": one(text.bert, model_max_length=16)}, labels=NAMED,
                         texts=[text.LONG, "short"]),
    }  # fmt: skip


def in_onnx_folder(folder):
    """As transformers.js wants it."""
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model.onnx")


def quantized_only(folder, make):
    """As many download it from a folder for transformers.js: of the networks only the one in int8.

    Its scales are taken over the whole batch, so each text is compared with the network's answer for it alone.
    """
    import numpy as np
    import onnxruntime
    import transformers

    requests = make(folder)
    (folder / "onnx").mkdir()
    file = folder / "onnx" / "model_quantized.onnx"
    common.in_eight_bits(folder / "model.onnx", file)
    (folder / "model.onnx").unlink()
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    expected = []
    for one in export.TEXTS:
        row = tokenizer(one, truncation=True, return_tensors="np")
        [logits] = session.run(["logits"], {item.name: row[item.name].astype(np.int64) for item in session.get_inputs()})
        chances = np.exp(logits[0] - logits[0].max())
        chances = (chances / chances.sum()).tolist()
        expected.append(export.ranked([{"label": n, "score": p} for n, p in zip(export.NAMES, chances, strict=True)]))
    requests[0]["expected"] = expected
    return {"requests": requests, "difference": "int8 by ONNX Runtime answers otherwise than the network it was made of."}


def of_two_rows(folder, make):
    """Optimum's Longformer runs for two rows or more and for none alone, in ONNX Runtime as here."""
    make(folder)
    return {
        "task": "tensors",
        "says": ["fails", "/v2"],
        "requests": deep_tensors.through(folder, sizes={"batch": 2, "sequence": 16}),
    }


def drop_names(folder):
    text.edit(folder, "config.json", lambda said: [said.pop(key, None) for key in ("id2label", "label2id")])


def integer_names(folder):
    text.edit(folder, "config.json", lambda said: said.update(id2label={"0": 0, "1": 1, "2": 2}))


def as_integers(folder, make):
    requests = make(folder)
    for row in requests[0]["expected"]:
        numbers = {name: str(number) for number, name in enumerate(export.NAMES)}
        row["label"] = numbers[row["label"]]
        row["scores"] = {numbers[name]: score for name, score in row["scores"].items()}
    return requests


UNUSUAL = {"one-label-regression": "text-regression", "several-values": "text-regression"}
NOT_COMMITTED = {"qwen3-reranker", "length-16", "gpt2-no-padding-token", "zero-shot-bart", "names-unicode", "single-label-said", "names-eleven", "five-without-names", "multi-label-roberta", "pairs-roberta", "zero-shot-bart", "llama-padding-left", "qwen3-no-padding-token", "names-unicode", "gpt2-one-label"}


def cases():
    made_with = ("transformers", "optimum-onnx", "torch")
    for name, (start, config, make) in architectures().items():
        build = functools.partial(classifier, start=start, config=config, make=make, labels=NAMED)
        yield common.case(
            "optimum", f"text-{name}", functools.partial(of_two_rows, make=build) if name == "longformer" else build,
            family="text classifiers", task="text-classification", made_with=made_with, committed=name in COMMITTED,
        )  # fmt: skip
    for name, build in heads().items():
        if name == "names-as-integers":
            build = functools.partial(as_integers, make=build)
        yield common.case(
            "optimum", f"text-{name}", build, family="heads of text classifiers",
            task=UNUSUAL.get(name, "text-classification"), made_with=made_with, committed=name not in NOT_COMMITTED,
        )  # fmt: skip


if __name__ == "__main__":
    common.main(cases)

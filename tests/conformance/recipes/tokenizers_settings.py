"""Settings of tokenizers that stand in tokenizer_config.json, or were left in tokenizer.json by training."""

import functools

import common
import deep_probe
import deep_text as text

REQUIREMENTS = "deep"

BERT = ["input_ids", "attention_mask", "token_type_ids"]
PLAIN = ["input_ids", "attention_mask"]


def config(**changes):
    return functools.partial(text.edit, name="tokenizer_config.json", change=lambda said: said.update(changes))


def without(*keys):
    return functools.partial(
        text.edit, name="tokenizer_config.json", change=lambda said: [said.pop(key, None) for key in keys]
    )


def state(**changes):
    return functools.partial(text.edit, name="tokenizer.json", change=lambda said: said.update(changes))


def truncation(length: int, strategy: str = "LongestFirst", stride: int = 0, direction: str = "Right"):
    return state(truncation={"direction": direction, "max_length": length, "strategy": strategy, "stride": stride})


def padding(strategy, direction: str = "Right", multiple=None, number: int = 0, token: str = "[PAD]"):
    return state(padding={"strategy": strategy, "direction": direction, "pad_to_multiple_of": multiple,
                          "pad_id": number, "pad_type_id": 0, "pad_token": token})  # fmt: skip


def both(*edits):
    def apply(folder):
        for edit in edits:
            edit(folder)

    return apply


def nothing(folder):
    pass


def remove(name: str):
    return lambda folder: (folder / name).unlink()


def more_tokens(folder):
    """Tokens that only tokenizer_config.json has, one of each kind of option."""
    added = {
        "200": {"content": "lovely day", "lstrip": False, "rstrip": False, "single_word": False, "normalized": True,
                "special": False},
        "201": {"content": "<ent>", "lstrip": True, "rstrip": True, "single_word": False, "normalized": False,
                "special": True},
        "202": {"content": "fox", "lstrip": False, "rstrip": False, "single_word": True, "normalized": False,
                "special": False},
    }  # fmt: skip
    text.edit(folder, "tokenizer_config.json", lambda said: said["added_tokens_decoder"].update(added))


TOKENS_TEXTS = ["a lovely day, A LOVELY DAY", "the <ent> quick  <ent>  fox", "fox foxes the fox.", "FOX <ENT>"]


def settings() -> dict:
    one, bert, roberta, gpt2, pieces = functools.partial, text.bert, text.roberta, text.gpt2, text.pieces
    llama = one(pieces, cls="LlamaTokenizerFast", name="tokenizer.model", kind="bpe", size=420, byte_fallback=True,
                pad_token="<unk>", legacy=False)  # fmt: skip
    gpt2_padded = one(gpt2, pad_token="<|endoftext|>")
    cased = one(bert, lower=False)
    long = {"model_max_length": 512}
    # No file of the tokenizer has a length; the network's own counts.
    whole = {"max_position_embeddings": 512}
    return {
        # tokenizer_config.json against tokenizer.json
        "lower-said-cased": (cased, config(do_lower_case=True)),
        "cased-said-lower": (bert, config(do_lower_case=False)),
        "accents-said-stripped": (cased, config(strip_accents=True)),
        "accents-said-kept": (bert, config(strip_accents=False)),
        "accents-said-by-nothing": (one(bert, strip_accents=False), config(strip_accents=None)),
        "chinese-said-whole": (bert, config(tokenize_chinese_chars=False)),
        "chinese-said-split": (one(bert, tokenize_chinese_chars=False), config(tokenize_chinese_chars=True)),
        "lower-said-cased-distilbert": (one(bert, cls="DistilBertTokenizerFast", lower=False),
                                        config(do_lower_case=True)),
        "lower-said-cased-electra": (one(bert, cls="ElectraTokenizerFast", lower=False), config(do_lower_case=True)),
        "lower-ignored-by-the-general-class": (cased, config(do_lower_case=True,
                                                             tokenizer_class="PreTrainedTokenizerFast")),
        "slow-class-named": (cased, config(do_lower_case=True, tokenizer_class="BertTokenizer")),
        "prefix-space-said": (roberta, config(add_prefix_space=True)),
        "prefix-space-denied": (one(roberta, add_prefix_space=True), config(add_prefix_space=False)),
        "prefix-space-said-gpt2": (gpt2_padded, config(add_prefix_space=True)),
        "prefix-space-said-bart": (one(roberta, cls="BartTokenizerFast"), config(add_prefix_space=True)),
        "eos-said-llama": (llama, config(add_eos_token=True)),
        "bos-denied-llama": (llama, config(add_bos_token=False)),
        "bos-said-qwen2": (one(gpt2, cls="Qwen2TokenizerFast", pad_token="<|endoftext|>"), config(add_bos_token=True)),
        "types-not-wanted": (bert, config(model_input_names=PLAIN)),
        "tokens-in-the-config-only": (bert, more_tokens),
        # Lengths
        "length-16": (one(bert, model_max_length=16), nothing),
        "length-none": (bert, without("model_max_length"), whole),
        "length-huge": (bert, config(model_max_length=1000000000000000019884624838656), whole),
        "length-from-config-beyond": (one(bert, model_max_length=10**30), nothing, {"max_position_embeddings": 40}),
        "length-5-pairs": (one(bert, model_max_length=5), nothing),
        "length-17-roberta": (one(roberta, model_max_length=17), nothing),
        "length-9-t5": (one(pieces, cls="T5TokenizerFast", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>",
                            model_max_length=9), nothing),
        "length-12-xlnet": (one(pieces, cls="XLNetTokenizerFast", unk_id=0, bos_id=1, eos_id=2, model_max_length=12,
                                control_symbols=["<cls>", "<sep>", "<pad>", "<mask>"]), nothing),
        # Sides
        "truncation-left": (one(bert, model_max_length=16, truncation_side="left"), nothing),
        "truncation-left-said": (one(bert, model_max_length=16), config(truncation_side="left")),
        "truncation-left-roberta": (one(roberta, model_max_length=16, truncation_side="left"), nothing),
        "truncation-left-llama": (one(llama, model_max_length=16, truncation_side="left"), nothing),
        "padding-left": (one(bert, padding_side="left"), nothing),
        "padding-left-said": (bert, config(padding_side="left")),
        "padding-left-gpt2": (one(gpt2_padded, padding_side="left"), nothing),
        "both-left": (one(bert, model_max_length=20, padding_side="left", truncation_side="left"), nothing),
        # Left over in tokenizer.json
        "truncated-to-16": (one(bert, **long), truncation(16)),
        "truncated-to-16-only-first": (one(bert, **long), truncation(16, "OnlyFirst")),
        "truncated-to-16-only-second": (one(bert, **long), truncation(16, "OnlySecond")),
        "truncated-only-first-length-24": (one(bert, model_max_length=24), truncation(16, "OnlyFirst")),
        "truncated-only-second-length-24": (one(bert, model_max_length=24), truncation(16, "OnlySecond")),
        "truncated-with-stride": (one(bert, model_max_length=24), truncation(16, stride=4)),
        "truncated-left": (one(bert, model_max_length=24), truncation(16, direction="Left")),
        "truncated-left-denied": (one(bert, model_max_length=24), both(truncation(16, direction="Left"),
                                                                      config(truncation_side="right"))),
        "truncated-to-16-roberta": (one(roberta, **long), truncation(16)),
        "truncated-to-128-length-20": (one(bert, model_max_length=20), truncation(128)),
        "truncated-to-16-length-none": (bert, both(truncation(16), without("model_max_length")), whole),
        "truncated-to-16-no-config": (bert, both(truncation(16), remove("tokenizer_config.json"),
                                                 remove("special_tokens_map.json")), whole),
        "padded-to-64": (bert, padding({"Fixed": 64})),
        "padded-to-64-left": (bert, padding({"Fixed": 64}, direction="Left")),
        "padded-to-batch": (bert, padding("BatchLongest")),
        "padded-to-eights": (bert, padding("BatchLongest", multiple=8)),
        "padded-with-another-id": (bert, padding({"Fixed": 64}, number=3, token="[SEP]")),
        "padded-and-truncated": (bert, both(padding({"Fixed": 20}), truncation(20))),
        # Files
        "no-tokenizer-config": (bert, both(remove("tokenizer_config.json"), remove("special_tokens_map.json")), whole),
        "no-special-tokens-map": (roberta, remove("special_tokens_map.json")),
        "general-class": (one(bert, cls="BertTokenizerFast"), config(tokenizer_class="PreTrainedTokenizerFast")),
    }  # fmt: skip


def build(folder, make, change, more=None):
    tokenizer = make(folder)
    text.save(tokenizer, folder)
    change(folder)
    # The network's own inputs, which no setting changes.
    inputs = [name for name in BERT if name in tokenizer.model_input_names]
    if folder.name == "types-not-wanted":
        inputs = PLAIN
    deep_probe.write(folder, inputs, **(more or {}))
    texts = text.TEXTS + (TOKENS_TEXTS if change is more_tokens else [])
    return deep_probe.requests(folder, inputs, texts, text.PAIRS, (more or {}).get("max_position_embeddings"))


# Of siblings one.
NOT_COMMITTED = {
    "accents-said-by-nothing", "chinese-said-split", "lower-said-cased-distilbert", "prefix-space-said-bart",
    "length-none", "length-17-roberta", "truncation-left-said", "truncation-left-llama", "padding-left-said",
    "truncated-to-16-roberta", "truncated-to-128-length-20", "padded-to-64-left", "padded-to-batch",
    "truncated-only-first-length-24", "padded-with-another-id", "no-special-tokens-map", "slow-class-named",
    "length-huge",
}  # fmt: skip


def cases():
    for name, said in settings().items():
        make, change, *more = said
        yield common.case(
            "tokenizers", name, functools.partial(build, make=make, change=change, more=more[0] if more else None),
            family="tokenizer settings", task="text-classification", made_with=("transformers", "tokenizers"),
            committed=name not in NOT_COMMITTED, tolerance=1e-6,
        )  # fmt: skip


if __name__ == "__main__":
    common.main(cases)

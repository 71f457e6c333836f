"""Each family of transformers' fast tokenizers, over a network whose answer shows the tokens."""

import functools

import common
import deep_probe
import deep_text as text

REQUIREMENTS = "deep"


def families() -> dict:
    one, pieces, bert, roberta, gpt2 = functools.partial, text.pieces, text.bert, text.roberta, text.gpt2
    sp = dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1, pad_piece="<pad>", eos_piece="</s>", unk_piece="<unk>")
    return {
        # WordPiece
        "bert-uncased": one(bert, lower=True),
        "bert-cased": one(bert, lower=False),
        "bert-strip-accents": one(bert, lower=False, strip_accents=True),
        "bert-keep-accents": one(bert, lower=True, strip_accents=False),
        "bert-no-chinese": one(bert, lower=True, tokenize_chinese_chars=False),
        "distilbert": one(bert, cls="DistilBertTokenizerFast"),
        "electra": one(bert, cls="ElectraTokenizerFast"),
        "mobilebert": one(bert, cls="MobileBertTokenizerFast"),
        "squeezebert": one(bert, cls="SqueezeBertTokenizerFast"),
        "convbert": one(bert, cls="ConvBertTokenizerFast"),
        "lxmert": one(bert, cls="LxmertTokenizerFast"),
        "funnel": one(word_pieces, cls="FunnelTokenizerFast", special=["<pad>", "<unk>", "<cls>", "<sep>", "<mask>"]),
        "mpnet": one(word_pieces, cls="MPNetTokenizerFast", special=["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]),
        # BPE over bytes
        "roberta": one(roberta),
        "roberta-prefix-space": one(roberta, add_prefix_space=True),
        "roberta-no-trim": one(roberta, trim_offsets=False),
        "bart": one(roberta, cls="BartTokenizerFast"),
        "longformer": one(roberta, cls="LongformerTokenizerFast"),
        "led": one(roberta, cls="LEDTokenizerFast"),
        "mvp": one(roberta, cls="MvpTokenizerFast"),
        "blenderbot": one(roberta, cls="BlenderbotTokenizerFast"),
        "deberta": deberta,
        "gpt2": one(gpt2),
        "gpt2-pad-eos": one(gpt2, pad_token="<|endoftext|>"),
        "gpt2-prefix-space": one(gpt2, add_prefix_space=True),
        "gpt-neox": gpt_neox,
        "gpt-neox-bos-eos": one(gpt_neox, add_bos_token=True, add_eos_token=True),
        "codegen": one(gpt2, cls="CodeGenTokenizerFast"),
        "qwen2": one(gpt2, cls="Qwen2TokenizerFast", pad_token="<|endoftext|>"),
        "bloom-no-pad": bloom,
        "llama3": llama3,
        "modernbert": modernbert,
        # BPE of characters
        "openai-gpt": openai_gpt,
        "clip": clip,
        "herbert": herbert,
        # SentencePiece
        "llama": one(pieces, cls="LlamaTokenizerFast", name="tokenizer.model", kind="bpe", size=420,
                     byte_fallback=True, pad_token="<unk>", legacy=False),
        "llama-legacy": one(pieces, cls="LlamaTokenizerFast", name="tokenizer.model", kind="bpe", size=420,
                            byte_fallback=True, pad_token="</s>", legacy=True),
        "llama-eos": one(pieces, cls="LlamaTokenizerFast", name="tokenizer.model", kind="bpe", size=420,
                         byte_fallback=True, pad_token="<unk>", add_eos_token=True, legacy=False),
        "gemma": one(pieces, cls="GemmaTokenizerFast", name="tokenizer.model", kind="bpe", size=420,
                     byte_fallback=True, pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>",
                     eos_piece="<eos>", bos_piece="<bos>"),
        "t5": one(pieces, cls="T5TokenizerFast", **sp),
        "t5-nmt-nfkc": one(pieces, cls="T5TokenizerFast", rule="nmt_nfkc", **sp),
        "albert": one(pieces, cls="AlbertTokenizerFast", pad_id=0, unk_id=1, bos_id=2, eos_id=3, pad_piece="<pad>",
                      bos_piece="[CLS]", eos_piece="[SEP]", control_symbols=["[MASK]"]),
        "albert-cased-accents": one(pieces, cls="AlbertTokenizerFast", pad_id=0, unk_id=1, bos_id=2, eos_id=3,
                                    pad_piece="<pad>", bos_piece="[CLS]", eos_piece="[SEP]", do_lower_case=False,
                                    keep_accents=True),
        "xlm-roberta": one(pieces, cls="XLMRobertaTokenizerFast", name="sentencepiece.bpe.model"),
        "xlm-roberta-nmt-nfkc": one(pieces, cls="XLMRobertaTokenizerFast", name="sentencepiece.bpe.model",
                                    rule="nmt_nfkc"),
        "camembert": one(pieces, cls="CamembertTokenizerFast", name="sentencepiece.bpe.model",
                         user_defined_symbols=["<s>NOTUSED"]),
        "xlnet": one(pieces, cls="XLNetTokenizerFast", unk_id=0, bos_id=1, eos_id=2,
                     control_symbols=["<cls>", "<sep>", "<pad>", "<mask>"]),
        "big-bird": one(pieces, cls="BigBirdTokenizerFast", pad_id=0, eos_id=1, bos_id=2, unk_id=3,
                        pad_piece="<pad>", control_symbols=["[SEP]", "[MASK]", "[CLS]"]),
        "deberta-v2": one(pieces, cls="DebertaV2TokenizerFast", name="spm.model", pad_id=0, bos_id=1, eos_id=2,
                          unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]"),
        "deberta-v2-lower": one(pieces, cls="DebertaV2TokenizerFast", name="spm.model", pad_id=0, bos_id=1, eos_id=2,
                                unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]",
                                unk_piece="[UNK]", do_lower_case=True, split_by_punct=True),
        "fnet": one(pieces, cls="FNetTokenizerFast", pad_id=0, unk_id=1, bos_id=2, eos_id=3, pad_piece="<pad>",
                    bos_piece="[CLS]", eos_piece="[SEP]", control_symbols=["[MASK]"]),
        "rembert": one(pieces, cls="RemBertTokenizerFast", name="sentencepiece.model", pad_id=0, unk_id=1, bos_id=2,
                       eos_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]"),
        "pegasus": one(pieces, cls="PegasusTokenizerFast", pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
                       pad_piece="<pad>"),
        "mbart": one(pieces, cls="MBartTokenizerFast", name="sentencepiece.bpe.model"),
        "mbart50": one(pieces, cls="MBart50TokenizerFast", name="sentencepiece.bpe.model"),
        "nllb": one(pieces, cls="NllbTokenizerFast", name="sentencepiece.bpe.model", kind="bpe"),
        "barthez": one(pieces, cls="BarthezTokenizerFast", name="sentencepiece.bpe.model"),
        "reformer": one(pieces, cls="ReformerTokenizerFast", eos_id=2, pad_token="<unk>"),
        "cohere-style": cohere_style,
        # Others that tokenizer.json can say
        "word-level": word_level,
        "whitespace-bpe": whitespace_bpe,
        "byte-fallback-bpe": byte_fallback_bpe,
        "nfd-strip-wordpiece": nfd_strip,
        "digits-split-bpe": digits_split,
    }  # fmt: skip


def word_pieces(folder, cls, special, **options):
    import transformers

    file = text.wordpiece_file(folder, special, True)
    return getattr(transformers, cls)(vocab_file=file, model_max_length=48, **options)


def deberta(folder):
    import transformers

    vocabulary, merges = text.byte_level_files(folder, ["[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]"])
    return transformers.DebertaTokenizerFast(vocab_file=vocabulary, merges_file=merges, model_max_length=48)


def object_of(model, **parts):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer(model)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    return tokenizer


def fast(tokenizer, **options):
    import transformers

    options.setdefault("model_max_length", 48)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options)


def trained(tokenizer, size: int, special: list[str], **options):
    from tokenizers import trainers

    tokenizer.train_from_iterator(text.SENTENCES, trainers.BpeTrainer(vocab_size=size, special_tokens=special, **options))
    return tokenizer


def bloom(folder):
    import transformers
    from tokenizers import Regex, decoders, models, pre_tokenizers

    split = pre_tokenizers.Split(Regex(" ?[^(\\s|[.,!?…。，、।۔،])]+"), "isolated")
    tokenizer = object_of(
        models.BPE(),
        pre_tokenizer=pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
        decoder=decoders.ByteLevel(),
    )
    trained(tokenizer, 330, ["<unk>", "<s>", "</s>", "<pad>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    return transformers.BloomTokenizerFast(tokenizer_object=tokenizer, padding_side="left", model_max_length=48,
                                           pad_token=None)


def llama3(folder):
    from tokenizers import Regex, decoders, models, pre_tokenizers, processors

    pattern = (
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
        "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
    )
    parts = [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    tokenizer = object_of(models.BPE(ignore_merges=True), pre_tokenizer=pre_tokenizers.Sequence(parts),
                          decoder=decoders.ByteLevel())
    special = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|finetune_right_pad_id|>"]
    trained(tokenizer, 340, special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    template = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
        special_tokens=[("<|begin_of_text|>", 0)],
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return fast(tokenizer, bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", pad_token="<|finetune_right_pad_id|>",
                model_input_names=["input_ids", "attention_mask"])


def modernbert(folder):
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = object_of(models.BPE(), normalizer=normalizers.NFC(), decoder=decoders.ByteLevel(),
                          pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=False))
    special = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    trained(tokenizer, 335, special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return fast(tokenizer, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", mask_token="[MASK]",
                unk_token="[UNK]", model_input_names=["input_ids", "attention_mask"])


def openai_gpt(folder):
    import transformers

    vocabulary, merges = text.word_end_files(folder, ["<unk>"])
    return transformers.OpenAIGPTTokenizerFast(vocab_file=vocabulary, merges_file=merges, model_max_length=48)


def herbert(folder):
    import transformers
    from tokenizers import models, normalizers, pre_tokenizers, processors

    files = text.word_end_files(folder, ["<s>", "<unk>", "<pad>", "</s>", "<mask>"])
    tokenizer = object_of(
        models.BPE.from_file(*files, unk_token="<unk>", end_of_word_suffix="</w>"),
        normalizer=normalizers.BertNormalizer(lowercase=False, strip_accents=False),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
        post_processor=processors.BertProcessing(("</s>", 3), ("<s>", 0)),
    )
    return transformers.HerbertTokenizerFast(tokenizer_object=tokenizer, model_max_length=48)


def gpt_neox(folder, **options):
    import transformers

    backend = text.gpt2(folder).backend_tokenizer
    return transformers.GPTNeoXTokenizerFast(
        tokenizer_object=backend, pad_token="<|endoftext|>", model_max_length=48, **options
    )


def clip(folder):
    import transformers
    from tokenizers import models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = alphabet + [one + "</w>" for one in alphabet]
    merges = [("t", "h"), ("th", "e</w>"), ("o", "v"), ("ov", "e</w>"), ("l", "ove</w>"), ("a", "n"), ("an", "d</w>")]
    vocabulary += ["".join(pair) for pair in merges] + ["<|startoftext|>", "<|endoftext|>"]
    tokenizer = object_of(models.BPE(vocab={name: i for i, name in enumerate(vocabulary)}, merges=merges))
    files = text.bpe_files(folder, tokenizer)
    return transformers.CLIPTokenizerFast(vocab_file=files[0], merges_file=files[1], model_max_length=48)


def cohere_style(folder):
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

    pre = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)])
    tokenizer = object_of(models.BPE(unk_token="<UNK>"), normalizer=normalizers.NFC(), pre_tokenizer=pre,
                          decoder=decoders.ByteLevel())
    special = ["<PAD>", "<UNK>", "<CLS>", "<SEP>"]
    trained(tokenizer, 335, special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<CLS> $A <SEP>", pair="<CLS> $A <SEP> $B:1 <SEP>:1", special_tokens=[("<CLS>", 2), ("<SEP>", 3)]
    )
    return fast(tokenizer, pad_token="<PAD>", unk_token="<UNK>", cls_token="<CLS>", sep_token="<SEP>")


def word_level(folder):
    from tokenizers import models, normalizers, pre_tokenizers

    words = sorted({word for line in text.SENTENCES for word in line.lower().split()})
    vocabulary = {name: i for i, name in enumerate(["[PAD]", "[UNK]"] + words)}
    tokenizer = object_of(models.WordLevel(vocabulary, unk_token="[UNK]"), normalizer=normalizers.Lowercase(),
                          pre_tokenizer=pre_tokenizers.Whitespace())
    return fast(tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_input_names=["input_ids", "attention_mask"])


def whitespace_bpe(folder):
    from tokenizers import models, normalizers, pre_tokenizers

    steps = [normalizers.NFKC(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()]
    vocabulary, merges = text.affixed(["<unk>", "<pad>"], 60, prefix="@@")
    model = models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", continuing_subword_prefix="@@")
    tokenizer = object_of(model, normalizer=normalizers.Sequence(steps),
                          pre_tokenizer=pre_tokenizers.WhitespaceSplit())
    return fast(tokenizer, pad_token="<pad>", unk_token="<unk>", model_input_names=["input_ids", "attention_mask"])


def byte_fallback_bpe(folder):
    """As the newer exports of Llama 2 and Mistral write it: a normaliser in the place of Metaspace."""
    from tokenizers import decoders, models, normalizers

    steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    tokenizer = object_of(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True),
                          normalizer=normalizers.Sequence(steps))
    bytes_of = [f"<0x{number:02X}>" for number in range(256)]
    trained(tokenizer, 400, ["<unk>", "<s>", "</s>"] + bytes_of)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return fast(tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>",
                model_input_names=["input_ids", "attention_mask"])


def nfd_strip(folder):
    from tokenizers import models, normalizers, pre_tokenizers, processors

    vocabulary = {name: i for i, name in enumerate(text.wordpiece_vocabulary(["[PAD]", "[UNK]", "[CLS]", "[SEP]"], True))}
    steps = [normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()]
    tokenizer = object_of(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=20),
                          normalizer=normalizers.Sequence(steps), pre_tokenizer=pre_tokenizers.Whitespace())
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return fast(tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")


def digits_split(folder):
    from tokenizers import models, normalizers, pre_tokenizers

    steps = [pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Digits(individual_digits=False),
             pre_tokenizers.Metaspace(prepend_scheme="first")]
    tokenizer = object_of(models.BPE(unk_token="<unk>"), normalizer=normalizers.NFKD(),
                          pre_tokenizer=pre_tokenizers.Sequence(steps))
    trained(tokenizer, 160, ["<unk>", "<pad>"])
    return fast(tokenizer, pad_token="<pad>", unk_token="<unk>", model_input_names=["input_ids", "attention_mask"])


def build(folder, make):
    tokenizer = make(folder)
    inputs = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in tokenizer.model_input_names]
    text.save(tokenizer, folder)
    deep_probe.write(folder, inputs)
    return deep_probe.requests(folder, inputs, text.TEXTS, text.PAIRS)


# Each kind of model and normaliser once; their siblings are made for the measurement alone.
COMMITTED = {
    "bert-uncased", "bert-cased", "bert-strip-accents", "bert-keep-accents", "bert-no-chinese", "mpnet", "funnel",
    "roberta", "roberta-prefix-space", "deberta", "gpt2", "gpt2-pad-eos", "gpt-neox-bos-eos", "bloom-no-pad", "llama3",
    "modernbert", "openai-gpt", "herbert", "llama", "llama-eos", "gemma", "t5", "albert", "albert-cased-accents",
    "xlm-roberta", "camembert", "xlnet", "deberta-v2", "deberta-v2-lower", "mbart", "word-level",
    "whitespace-bpe", "nfd-strip-wordpiece", "digits-split-bpe",
}  # fmt: skip


def cases():
    for name, make in families().items():
        yield common.case(
            "tokenizers", name, functools.partial(build, make=make), family="tokenizer families",
            task="text-classification", made_with=("transformers", "tokenizers"), committed=name in COMMITTED,
            tolerance=1e-6,
        )  # fmt: skip


if __name__ == "__main__":
    common.main(cases)

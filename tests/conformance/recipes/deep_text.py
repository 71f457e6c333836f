"""Small tokenizers of transformers' fast classes, each made of the files that the class itself reads."""

import io
import json
import os
from collections import Counter
from pathlib import Path

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

SENTENCES = [
    "the quick brown fox jumps over the lazy dog",
    "I love this film and I would see it again",
    "the price was high, but the delivery was quick",
    "What a terrible, terrible waste of time!",
    "Ada Lovelace lived in London and worked for nobody",
    "isn't it a lovely day? don't you think so?",
    "naïve café owners in Ångström, Çesme and ÉCOLE",
    "日本語 中文 한국어 и русский текст",
    "numbers 12 345 6789 and signs: #tag @name 50% a_b",
    "she sells sea shells by the sea shore",
]

LONG = " ".join(SENTENCES[:6] * 4)

# What differs from tokenizer to tokenizer: case, accents, scripts, blanks of all kinds, control characters,
# special tokens in the text, a word without an end, a text beyond every limit.
TEXTS = [
    "the quick brown fox",
    "I LOVE it, Isn't it?",
    "Ångström café naïve Çedilla ÉCOLE",
    "e\u0301cole A\u030angstro\u0308m",
    "日本語の文 and 中文字",
    "emoji 😀👍🏽 done",
    "non\u00a0breaking and zero\u200bwidth",
    "  leading and  double blanks  ",
    "line\nbreak\ttab\r\nend",
    "bell\x07 and \ufffd and \u200e mark",
    "ﬁne ①② ＦＵＬＬ width",
    "İstanbul Straße ẞ ς",
    "special [MASK] <mask> </s> [SEP] inside",
    "x" * 130,
    "dots... 3.14 a-b c/d (e) \u201cquoted\u201d",
    LONG,
]

PAIRS = [
    ["the quick brown fox", "jumps over the lazy dog"],
    ["a", LONG],
    [LONG, "a lovely day"],
    [LONG, LONG.upper()],
]


def wordpiece_vocabulary(special: list[str], lower: bool, size: int = 190) -> list[str]:
    """Special tokens, single characters, pieces of words and the words that are frequent; sorted, so always the same."""
    text = " ".join(SENTENCES)
    words = Counter(word for word in text.replace(",", " ").replace("!", " ").split())
    if lower:
        lowered = Counter()
        for word, count in words.items():
            lowered[word.lower()] += count
        words = lowered
    characters = sorted({character for word in words for character in word if character.isascii()})
    tokens = special + characters + ["##" + one for one in characters if one.isalpha()]
    tokens += [",", ".", "!", "?", "'", "café", "naïve", "cafe", "naive", "ang", "##strom", "日", "中", "é", "##é", "i̇"]
    tokens += ["##s", "##ed", "##ing", "##el", "##ly", "##er", "th", "##ox", "qu", "##ick", "lo", "##ve", "##th"]
    tokens += [word for word, _ in sorted(words.items(), key=lambda item: (-item[1], item[0])) if word.isascii()]
    return list(dict.fromkeys(tokens))[:size]


def wordpiece_file(folder: Path, special: list[str], lower: bool) -> str:
    file = folder / "vocab.txt"
    file.write_text("\n".join(wordpiece_vocabulary(special, lower)) + "\n")
    return str(file)


def byte_level_files(folder: Path, special: list[str], size: int = 330) -> tuple[str, str]:
    """vocab.json and merges.txt, with the special tokens first, as RoBERTa has them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return bpe_files(folder, tokenizer)


def bpe_files(folder: Path, tokenizer) -> tuple[str, str]:
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary, merges = folder / "vocab.json", folder / "merges.txt"
    vocabulary.write_text(json.dumps(model["vocab"], ensure_ascii=False))
    merges.write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in model["merges"]))
    return str(vocabulary), str(merges)


def merged(words: list[list[str]], count: int, prefix: str = "") -> list[tuple[str, str]]:
    """The merges of BPE, in an order of its own for those that are as frequent: the trainer's differs run by run."""
    merges = []
    for _ in range(count):
        pairs = Counter(pair for word in words for pair in zip(word, word[1:], strict=False))
        if not pairs:
            break
        left, right = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append((left, right))
        whole = left + right.removeprefix(prefix)
        for word in words:
            at = 0
            while at < len(word) - 1:
                if (word[at], word[at + 1]) == (left, right):
                    word[at : at + 2] = [whole]
                at += 1
    return merges


def affixed(special: list[str], count: int, end: str = "", prefix: str = "") -> tuple[dict, list]:
    """Vocabulary and merges of BPE whose pieces carry a sign at the end of a word, or inside of it."""
    words = [list(word.lower()) for text in SENTENCES for word in text.replace(",", " ").split()]
    words = [word[:1] + [prefix + one for one in word[1:]] for word in words]
    words = [word[:-1] + [word[-1] + end] for word in words]
    alphabet = sorted({one for word in words for one in word})
    merges = merged(words, count, prefix)
    pieces = alphabet + [left + right.removeprefix(prefix) for left, right in merges]
    return {name: number for number, name in enumerate(dict.fromkeys(special + pieces))}, merges


def word_end_files(folder: Path, special: list[str]) -> tuple[str, str]:
    """BPE whose last piece of a word ends in </w>, as OpenAI's first GPT and HerBERT have it."""
    from tokenizers import Tokenizer, models

    vocabulary, merges = affixed(special, 60, end="</w>")
    return bpe_files(folder, Tokenizer(models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix="</w>")))


def sentencepiece_file(
    folder: Path, name: str = "spiece.model", kind: str = "unigram", rule: str = "identity", size: int = 130, **more
) -> str:
    """A SentencePiece model. The rule `nmt_nfkc`, which most have, brings a table of 240 KB; `identity` has none."""
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 3), model_writer=written, vocab_size=size, model_type=kind,
        normalization_rule_name=rule, num_threads=1, minloglevel=2, hard_vocab_limit=False,
        character_coverage=0.99, **more,
    )  # fmt: skip
    file = folder / name
    file.write_bytes(written.getvalue())
    return str(file)


def bert(folder: Path, cls: str = "BertTokenizerFast", lower: bool = True, **options):
    """Words and pieces of words, [CLS] a [SEP] b [SEP]."""
    import transformers

    file = wordpiece_file(folder, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], lower)
    options.setdefault("model_max_length", 48)
    return getattr(transformers, cls)(vocab_file=file, do_lower_case=lower, **options)


def roberta(folder: Path, cls: str = "RobertaTokenizerFast", **options):
    """Bytes, <s> a </s></s> b </s>, padding id 1."""
    import transformers

    vocabulary, merges = byte_level_files(folder, ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    options.setdefault("model_max_length", 48)
    return getattr(transformers, cls)(vocab_file=vocabulary, merges_file=merges, **options)


def gpt2(folder: Path, cls: str = "GPT2TokenizerFast", special: str = "<|endoftext|>", **options):
    """Bytes, no special tokens around the text, and no padding token unless one is named."""
    import transformers

    vocabulary, merges = byte_level_files(folder, [special])
    options.setdefault("model_max_length", 48)
    return getattr(transformers, cls)(vocab_file=vocabulary, merges_file=merges, **options)


def pieces(folder: Path, cls: str, **options):
    """A class that is made of a SentencePiece model."""
    import transformers

    keys = ("name", "kind", "rule", "size", "pad_id", "pad_piece", "unk_id", "bos_id", "eos_id", "byte_fallback",
            "user_defined_symbols", "control_symbols", "unk_piece", "bos_piece", "eos_piece")  # fmt: skip
    training = {key: options.pop(key) for key in keys if key in options}
    file = sentencepiece_file(folder, **training)
    options.setdefault("model_max_length", 48)
    return getattr(transformers, cls)(vocab_file=file, **options)


SLOW = ("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model",
        "spm.model", "sentencepiece.model")  # fmt: skip


def save(tokenizer, folder: Path, slow: bool = False) -> None:
    """As transformers saves it, but smaller: tokenizer.json on one line, without the files of the slow classes."""
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()), ensure_ascii=False) + "\n")
    for name in () if slow else SLOW:
        (folder / name).unlink(missing_ok=True)


def edit(folder: Path, name: str, change) -> None:
    """Changes one of the folder's JSON files by hand, as authors of published folders do."""
    file = folder / name
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n")

"""What sentence-transformers and transformers answer for the fixtures that embed texts or label tokens.

    pip install -r ../fixtures/models/requirements.txt
    python text_tasks.py

Writes text_tasks.json. The networks run in onnxruntime, through the libraries' own classes: tokenizers, pooling,
normalisation and the joining of tokens to entities are theirs. No network is used.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import onnxruntime
from optimum.onnxruntime import ORTModelForTokenClassification
from sentence_transformers import SentenceTransformer, models
from transformers import AutoTokenizer, pipeline

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "fixtures" / "models"

LONG = (
    "I waited three weeks for the parcel, called the company twice, was told that it had been sent to another city, "
    "then that it had been lost, and when it came at last the box was open, the cable was missing, the screen had a "
    "scratch across the middle and the manual was for another phone; but the seller answered within an hour."
)
TEXTS = [
    "I love this phone.",
    "Is the battery included?",
    "Angela Merkel met John O'Neill in Berlin-Mitte.",
    "  leading, trailing and   double spaces  ",
    "Le café était délicieux, mais la crème brûlée… non.",
    "Straße, Übergröße, naïve façade",
    "这部电影很好看。",
    "Очень плохой фильм",
    "good 👍🏽 and bad 👎, family 👩‍👩‍👧 in Zürich",
    "line one\nline two\tand a tab",
    "@user check http://example.com/a?b=1&c=2 #fail $20.99",
    "antidisestablishmentarianism",
    "x",
    LONG,
]
MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
PROMPT = "query: "


def rounded(vector: np.ndarray) -> list[float]:
    """Seven significant digits: all that a float32 holds."""
    return [float(f"{float(x):.7g}") for x in vector]


def embed(edit=None, **arguments) -> list[list[float]]:
    """By sentence-transformers, from a copy of the fixture that `edit` has changed."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model"
        shutil.copytree(MODELS / "sentence-transformers-bert", copy)
        if edit:
            edit(copy)
        model = SentenceTransformer(
            str(copy), backend="onnx", device="cpu", model_kwargs={"file_name": "onnx/model.onnx"}, **arguments
        )
        # One by one, without padding.
        return [rounded(model.encode(text)) for text in TEXTS]


def pooled(modes: list[str]):
    def edit(folder: Path) -> None:
        config = {"embedding_dimension": 32, "pooling_mode": modes}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
        modules = json.loads((folder / "modules.json").read_text())
        (folder / "modules.json").write_text(json.dumps(modules[:2]))

    return edit


def set_keys(file: str, **keys):
    def edit(folder: Path) -> None:
        config = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(config | keys))

    return edit


def prompt_left_out(folder: Path) -> None:
    """The prompt goes through the network and is not pooled."""
    set_keys("config_sentence_transformers.json", prompts={"query": PROMPT}, default_prompt_name="query")(folder)
    set_keys("1_Pooling/config.json", include_prompt=False)(folder)


def bare_mean() -> list[list[float]]:
    """The encoder without files of sentence-transformers: mean pooling, no normalisation."""
    folder = MODELS / "optimum-bert-encoder"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    vectors = []
    for text in TEXTS:
        tokens = tokenizer(text, truncation=True, return_tensors="np")
        inputs = {entry.name: tokens[entry.name].astype(np.int64) for entry in session.get_inputs()}
        vectors.append(rounded(session.run(["last_hidden_state"], inputs)[0][0].mean(axis=0)))
    return vectors


def with_pooling_inside() -> list[list[float]]:
    folder = MODELS / "optimum-sentence-transformer"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    vectors = []
    for text in TEXTS:
        tokens = tokenizer(text, truncation=True, return_tensors="np")
        inputs = {entry.name: tokens[entry.name].astype(np.int64) for entry in session.get_inputs()}
        vectors.append(rounded(session.run(["sentence_embedding"], inputs)[0][0]))
    return vectors


def entities(name: str) -> list[list[dict]]:
    """By transformers' pipeline, which joins tokens of one entity."""
    model = ORTModelForTokenClassification.from_pretrained(MODELS / name)
    tokenizer = AutoTokenizer.from_pretrained(MODELS / name)
    run = pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="simple")
    keys = {"entity_group": "entity", "word": "word", "start": "start", "end": "end"}
    answers = []
    for text in TEXTS:
        found = run(text)
        answers.append([{ours: entry[theirs] for theirs, ours in keys.items()}
                        | {"score": rounded([entry["score"]])[0]} for entry in found])
    return answers


def main() -> None:
    pools = {mode: embed(pooled([mode])) for mode in MODES}
    several = ["cls", "max", "mean"]
    reference = {
        "texts": TEXTS,
        "embeddings": {
            "optimum-bert-encoder": bare_mean(),
            "optimum-sentence-transformer": with_pooling_inside(),
            "sentence-transformers-bert": embed(),
        },
        "pooling": pools | {"+".join(several): embed(pooled(several))},
        "prompt": embed(set_keys("config_sentence_transformers.json", prompts={"query": PROMPT},
                                 default_prompt_name="query")),
        "prompt_left_out": embed(prompt_left_out),
        "max_seq_length": embed(set_keys("sentence_bert_config.json", max_seq_length=9)),
        "entities": {name: entities(name) for name in ("optimum-bert-tokens", "optimum-roberta-tokens")},
    }
    text = json.dumps(reference, ensure_ascii=False)
    (HERE / "text_tasks.json").write_text(text + "\n", encoding="utf-8")
    for name, answers in reference["entities"].items():
        labels = [entry["entity"] for answer in answers for entry in answer]
        print(name, {label: labels.count(label) for label in set(labels)}, [len(answer) for answer in answers])
    vectors = np.array(reference["embeddings"]["sentence-transformers-bert"])
    print("cosines", np.round(vectors @ vectors[0], 2))


if __name__ == "__main__":
    main()

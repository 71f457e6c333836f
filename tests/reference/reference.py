"""Compute what the bundled models should answer, with the usual Python tools.

Pillow, Hugging Face's tokenizers and onnxruntime run every test picture,
sentence and row of features through every model, each in a batch of its own.
The answers go to <model>.json for the file that a CPU serves and, where that
is not model.onnx, to <model>.fp32.json for model.onnx.

    python tests/reference/reference.py [the folder of the models]
"""

import csv
import json
import sys
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps
from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
FIXTURES = HERE.parent / "fixtures"
MODELS = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[1] / "models"
TOP = 10  # classes told of each answer if there are more than 20
COIN_TOSS = 0.03  # a lead of the best class that is not worth much


# --- Inputs ------------------------------------------------------------------


def open_rgb(path):
    """The upright first frame as RGB; alpha is dropped, 16-bit grey keeps its high byte."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def resize(image, size, resample):
    """Resized to {"height", "width"}, or to {"shortest_edge"} with its proportions kept."""
    if "shortest_edge" in size:
        edge, (width, height) = size["shortest_edge"], image.size
        long = int(edge * max(width, height) / min(width, height))
        target = (edge, long) if width <= height else (long, edge)
    else:
        target = (size["width"], size["height"])
    return image.resize(target, resample)


def centre_crop(image, size):
    """The middle of the picture, with black around it where it is smaller."""
    left = (image.width - size["width"]) // 2
    top = (image.height - size["height"]) // 2
    return image.crop((left, top, left + size["width"], top + size["height"]))


def pixels(image, config):
    """The network's input [1, 3, height, width], as preprocessor_config.json says."""
    if config.get("do_resize", True):
        image = resize(image, config["size"], Image.Resampling(config["resample"]))
    if config.get("do_center_crop", False):
        image = centre_crop(image, config["crop_size"])
    values = np.asarray(image)
    if config.get("do_rescale", True):
        values = values * config["rescale_factor"]
    values = values.astype(np.float32)
    if config.get("do_normalize", True):
        mean, std = (np.array(config[key], np.float32) for key in ("image_mean", "image_std"))
        values = (values - mean) / std
    return values.transpose(2, 0, 1)[None]


def images(folder):
    """Pairs of a picture's name and the network's input for it."""
    config = json.loads((folder / "preprocessor_config.json").read_text("utf-8"))
    for path in sorted((FIXTURES / "images").iterdir()):
        if path.is_file():
            yield path.name, [pixels(open_rgb(path), config)]


def sentences():
    """The test sentences; only a line feed ends a line."""
    return (FIXTURES / "sentences.txt").read_text("utf-8").removesuffix("\n").split("\n")


def tokens(folder):
    """Pairs of a sentence and its token ids and attention mask."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if tokenizer.truncation is None:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        tokenizer.enable_truncation(config["max_position_embeddings"])
    tokenizer.no_padding()
    for text in sentences():
        encoding = tokenizer.encode(text)
        yield text, [np.array([encoding.ids]), np.array([encoding.attention_mask])]


def strings(_folder):
    """Pairs of a sentence and a tensor of strings that holds it."""
    for text in sentences():
        yield text, [np.array([[text]], object)]


def features(_folder):
    """Pairs of a row of numbers and its tensor; the last column is the class."""
    with open(MODELS / "eval" / "iris.csv", newline="", encoding="utf-8") as file:
        for row in list(csv.reader(file))[1:]:
            values = [float(value) for value in row[:-1]]
            yield values, [np.array([values], np.float32)]


# --- Outputs -----------------------------------------------------------------


def labels(folder):
    """Class names, from labels.txt or config.json."""
    if (folder / "labels.txt").exists():
        return (folder / "labels.txt").read_text("utf-8").splitlines()
    names = json.loads((folder / "config.json").read_text("utf-8"))["id2label"]
    return [names[str(number)] for number in range(len(names))]


def probabilities(scores, name):
    """One row of an output: logits get a softmax in double precision."""
    scores = scores.astype(np.float64).ravel()
    if name != "logits":
        return scores
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def answers(folder, file, inputs):
    """A case for every input of a model's file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        folder / file, options, providers=["CPUExecutionProvider"]
    )
    feeds = [entry.name for entry in session.get_inputs()]
    outputs = [entry.name for entry in session.get_outputs()]
    output = next(name for name in outputs if name in ("logits", "probabilities"))
    classes = labels(folder)
    for value, tensors in inputs:
        (scores,) = session.run([output], dict(zip(feeds, tensors, strict=True)))
        chances = probabilities(scores, output)
        assert len(chances) == len(classes)
        best = np.argsort(-chances, kind="stable")
        best = best if len(classes) <= 20 else best[:TOP]
        ranked = [[classes[number], round(float(chances[number]), 7)] for number in best]
        yield {"input": value, "label": ranked[0][0], "classes": ranked}


def write(path, model, file, cases):
    """Writes one JSON file with a line for each case, and tells the coin tosses."""
    lines = ",\n".join("    " + json.dumps(case) for case in cases)
    head = f'{{\n  "model": {json.dumps(model)},\n  "file": {json.dumps(file)},\n'
    path.write_text(f'{head}  "cases": [\n{lines}\n  ]\n}}\n', "utf-8")
    print(f"{path.name}: {len(cases)} cases of {file}")
    for case in cases:
        (first, chance), (second, other) = case["classes"][:2]
        if chance - other < COIN_TOSS:
            print(f"  coin toss: {case['input']}: {first} {chance:.4f}, {second} {other:.4f}")


def served_file(folder):
    """The file that a CPU runs."""
    config = folder / "model.toml"
    settings = tomllib.loads(config.read_text("utf-8")) if config.exists() else {}
    return settings.get("variants", {}).get("cpu", "model.onnx")


def main():
    for model, inputs in {
        "efficientnet-lite0": images,
        "sentiment-minilm": tokens,
        "sentiment-tfidf": strings,
        "iris": features,
    }.items():
        folder = MODELS / model
        served = served_file(folder)
        for file in dict.fromkeys([served, "model.onnx"]):
            name = f"{model}.json" if file == served else f"{model}.fp32.json"
            write(HERE / name, model, file, list(answers(folder, file, inputs(folder))))


if __name__ == "__main__":
    main()

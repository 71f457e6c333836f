"""Write zero_config.json: what the folders of tests/fixtures/models must answer, with no file of ours in them.

    pip install -r zero_config.requirements.txt
    python zero_config.py

Pre-processing is transformers' own (`use_fast=False`: the image processors that resize with Pillow; fast
tokenizers with their own length limit), inference is ONNX Runtime on one core, and each input runs alone.
A case is {"input", "label", "classes": [[label, score], ..]} with every class, best first; a regression's is
{"input", "value"}; an input that must fail has {"input", "error"}. A picture's input is the name of a file of
tests/fixtures/images. Models without names for their classes use the index as the label.
"""

import json
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import onnxruntime
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer
from transformers.image_utils import load_image

HERE = Path(__file__).resolve().parent
MODELS = HERE.parent / "fixtures" / "models"
IMAGES = HERE.parent / "fixtures" / "images"

PICTURES = [
    "jpeg-astronaut.jpg",
    "jpeg-chelsea.jpg",
    "jpeg-coffee.jpg",
    "jpeg-rocket.jpg",
    "jpeg-flower.jpg",
    "jpeg-1280x720.jpg",
    "jpeg-251x333.jpg",
    "jpeg-grey.jpg",
    "jpeg-orientation-6.jpg",
    "png-rgb.png",
    "png-rgb-333x251.png",
    "png-grey.png",
    "png-palette.png",
    "png-orientation-8.png",
    "webp-lossless-333x251.webp",
]

# A picture whose two best classes lie closer than this is left out for that model: two right JPEG decoders
# differ by one in a pixel here and there, which moves a score by up to 0.07 in these random networks.
CLEAR = 0.05

LONG = (
    "I waited three weeks for the parcel, called the company twice, was told that it had been sent to another city, "
    "then that it had been lost, and when it came at last the box was open, the cable was missing, the screen had a "
    "scratch across the middle and the manual was for another phone; but the seller answered within an hour, sent a "
    "new one at no cost, let me keep the old one for parts and even wrote a note to say sorry, so in the end I am "
    "happier with this shop than with any other that I have tried this year, and I would tell a friend to buy here."
)
TEXTS = [
    "I love this phone.",
    "It broke after two days and nobody answers my mails.",
    "The parcel arrives on Tuesday.",
    "Is the battery included?",
    "GREAT!!! Best purchase ever :-)",
    "worst. movie. ever.",
    "  leading, trailing and   double spaces  ",
    "Le café était délicieux, mais la crème brûlée… non.",
    "Straße, Übergröße, naïve façade, coöperate",
    "这部电影很好看。",
    "すごく楽しかったです",
    "Очень плохой фильм",
    "good 👍🏽 and bad 👎, family 👩‍👩‍👧",
    "line one\nline two\tand a tab",
    "@user check http://example.com/a?b=1&c=2 #fail $20.99",
    "antidisestablishmentarianism",
    LONG,
]
PAIRS = [
    ["Is the battery included?", "Yes, two of them."],
    ["The parcel arrives on Tuesday.", "I love this phone."],
    ["I love this phone.", "The parcel arrives on Tuesday."],
    [LONG, "Short answer."],
    ["Short question?", LONG],
    [LONG, LONG[100:]],
]

WINE = [
    [14.23, 1.71, 2.43, 15.6, 127.0, 2.8, 3.06, 0.28, 2.29, 5.64, 1.04, 3.92, 1065.0],
    [12.37, 0.94, 1.36, 10.6, 88.0, 1.98, 0.57, 0.28, 0.42, 1.95, 1.05, 1.82, 520.0],
    [12.86, 1.35, 2.32, 18.0, 122.0, 1.51, 1.25, 0.21, 0.94, 4.1, 0.76, 1.29, 630.0],
    [13.0, 2.3, 2.4, 19.0, 100.0, 2.3, 2.0, 0.36, 1.6, 5.0, 0.95, 2.6, 750.0],
]
DIABETES = [
    [59, 2, 32.1, 101.0, 157.0, 93.2, 38.0, 4.0, 4.8598, 87],
    [48, 1, 21.6, 87.0, 183.0, 103.2, 70.0, 3.0, 3.8918, 69],
    [72, 2, 30.5, 93.0, 156.0, 93.6, 41.0, 4.0, 4.6728, 85],
    [24, 1, 25.3, 84.0, 198.0, 131.4, 40.0, 5.0, 4.8903, 89],
]
IRIS = [[5.1, 3.5, 1.4, 0.2], [7.0, 3.2, 4.7, 1.4], [6.3, 3.3, 6.0, 2.5], [5.9, 2.8, 4.8, 1.8]]
PASSENGERS = [
    {"age": 22.0, "fare": 7.25, "siblings": 1, "sex": "male", "embarked": "Southampton"},
    {"age": 38.0, "fare": 71.28, "siblings": 1, "sex": "female", "embarked": "Cherbourg"},
    {"age": 4.0, "fare": 16.7, "siblings": 0, "sex": "female", "embarked": "Queenstown"},
    {"age": 71.0, "fare": 34.65, "siblings": 3, "sex": "male", "embarked": "Cherbourg"},
    {"age": 30.0, "fare": 13.0, "siblings": 0, "sex": "male", "embarked": "Liverpool"},
]


def session(name: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(MODELS / name / "model.onnx", options, providers=["CPUExecutionProvider"])


def figure(number) -> float:
    """Seven significant digits: all that a float32 holds."""
    return float(f"{float(number):.7g}")


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return powers / powers.sum()


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


def classified(given, names: list[str], scores) -> dict:
    order = sorted(range(len(names)), key=lambda i: (-scores[i], i))
    return {
        "input": given,
        "label": names[order[0]],
        "classes": [[names[i], figure(scores[i])] for i in order],
    }


def from_logits(given, config: dict, logits: np.ndarray) -> dict:
    """As transformers' pipelines do: config.json says which of the three it is."""
    if config.get("problem_type") == "regression":
        return {"input": given, "value": figure(logits[0])}
    names = [config["id2label"][str(i)] for i in range(len(logits))]
    several = config.get("problem_type") == "multi_label_classification"
    return classified(given, names, (sigmoid if several else softmax)(logits))


def optimum_image(name: str) -> list[dict]:
    config = json.loads((MODELS / name / "config.json").read_text(encoding="utf-8"))
    processor = AutoImageProcessor.from_pretrained(MODELS / name, use_fast=False)
    run = session(name)
    cases = []
    for file in PICTURES:
        # load_image turns the picture as its EXIF data say and converts it to RGB.
        pixels = processor(load_image(str(IMAGES / file)), return_tensors="np")["pixel_values"]
        logits = run.run(["logits"], {"pixel_values": pixels.astype(np.float32)})[0][0]
        cases.append(from_logits(file, config, logits))
    return clear(cases)


def clear(cases: list[dict]) -> list[dict]:
    return [case for case in cases if case["classes"][0][1] - case["classes"][1][1] >= CLEAR]


def optimum_text(name: str, inputs: list) -> list[dict]:
    config = json.loads((MODELS / name / "config.json").read_text(encoding="utf-8"))
    tokenizer = AutoTokenizer.from_pretrained(MODELS / name)
    run = session(name)
    wanted = [entry.name for entry in run.get_inputs()]
    # A tokenizer without a limit has a huge one; then the model's own holds.
    limit = min(tokenizer.model_max_length, config["max_position_embeddings"])
    cases = []
    for given in inputs:
        texts = [given] if isinstance(given, str) else given
        encoded = tokenizer(*texts, truncation=True, max_length=limit, return_tensors="np")
        logits = run.run(["logits"], {key: encoded[key].astype(np.int64) for key in wanted})[0][0]
        cases.append(from_logits(given, config, logits))
    return cases


def imagenet_pixels(file: str, size: int) -> np.ndarray:
    """torchvision's evaluation transform for ImageNet, with Pillow's antialiased bilinear filter."""
    image = load_image(str(IMAGES / file))
    short, side = round(size / 0.875), min(image.size)
    width, height = (short if edge == side else int(short * edge / side) for edge in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    # torchvision rounds half an odd difference to the even neighbour.
    left, top = round((width - size) / 2), round((height - size) / 2)
    pixels = np.asarray(image.crop((left, top, left + size, top + size)), dtype=np.float32) / 255
    pixels = (pixels - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    return pixels.transpose(2, 0, 1)[None]


def bare_image(name: str) -> list[dict]:
    run = session(name)
    listed = MODELS / name / "labels.txt"
    names = listed.read_text(encoding="utf-8").split("\n")[:-1] if listed.exists() else [f"LABEL_{i}" for i in range(7)]
    cases = []
    for file in PICTURES:
        pixels = imagenet_pixels(file, 32)
        if name.endswith("nhwc"):
            pixels = pixels.transpose(0, 2, 3, 1)
        cases.append(classified(file, names, softmax(run.run(["logits"], {"input": pixels})[0][0])))
    return clear(cases)


def features(name: str, rows: list, dtype, names: list[str] | None = None) -> list[dict]:
    """One unnamed row a case: numbers with a batch axis in, probabilities or one number out."""
    run = session(name)
    cases = []
    for row in rows:
        out = run.run(None, {run.get_inputs()[0].name: np.array([row], dtype=dtype)})
        if isinstance(out[-1], list):
            cases.append(from_zipmap(row, out))
        elif names:
            cases.append(classified(row, names, out[-1][0]))
        elif np.isfinite(out[0]).all():
            cases.append({"input": row, "value": figure(out[0][0, 0])})
        else:
            cases.append({"input": row, "error": "non-finite output"})
    return cases


def from_zipmap(given, out: list) -> dict:
    """scikit-learn's default export: a tensor of labels and a list of one map a row."""
    case = classified(given, list(out[1][0]), list(out[1][0].values()))
    assert case["label"] == out[0][0], "the label tensor and the map disagree"
    return case


def named_columns() -> list[dict]:
    run = session("named-columns")
    types = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(string)": object}
    kinds = {entry.name: types[entry.type] for entry in run.get_inputs()}
    cases = []
    for row in PASSENGERS:
        tensors = {key: np.array([[row[key]]], dtype=kind) for key, kind in kinds.items()}
        cases.append(from_zipmap({key: [cell] for key, cell in row.items()}, run.run(None, tensors)))
    return cases


def bare_text() -> list[dict]:
    run = session("bare-text")
    return [from_zipmap(text, run.run(None, {"text": np.array([[text]], dtype=object)})) for text in TEXTS]


def no_batch() -> list[dict]:
    run = session("no-batch")
    rows = [[1.0, 2.0, 3.0, 4.0], [-0.5, 0.0, 10.25, 1e3]]
    return [
        {"input": row, "value": figure(run.run(None, {"features": np.array(row, dtype=np.float32)})[0][0])}
        for row in rows
    ]


def reference() -> dict:
    models = {}

    def add(name: str, task: str, cases: list[dict], note: str | None = None) -> None:
        models[name] = {"task": task, **({"note": note} if note else {}), "cases": cases}

    notes = {"optimum-electra": "no length limit in the tokenizer's files: max_position_embeddings of config.json holds"}
    texts = {"optimum-bert": TEXTS + PAIRS, "optimum-roberta": TEXTS + PAIRS}
    for folder in sorted(MODELS.glob("optimum-*")):
        if (folder / "preprocessor_config.json").exists():
            add(folder.name, "image-classification", optimum_image(folder.name))
        else:
            add(folder.name, "text-classification", optimum_text(folder.name, texts.get(folder.name, TEXTS)),
                notes.get(folder.name))

    for name in ("bare-image", "bare-image-fixed", "bare-image-nhwc"):
        add(name, "image-classification", bare_image(name))
    add("bare-features", "tabular-regression", features("bare-features", DIABETES, np.float32))
    add("bare-classifier", "tabular-classification", features("bare-classifier", WINE, np.float32))
    add("bare-classifier-matrix", "tabular-classification",
        features("bare-classifier-matrix", IRIS, np.float32, ["setosa", "versicolor", "virginica"]),
        "no output names the classes but the best: the names are the attribute classlabels_strings of a node")
    add("bare-text", "text-classification", bare_text())
    add("bare-text-locale", "text-classification", [],
        "loads only where the locale en_US.UTF-8 is installed; elsewhere the load must fail with a clear line")
    add("named-columns", "tabular-classification", named_columns())
    add("double-features", "tabular-regression", features("double-features", DIABETES, np.float64))
    tenths = [[round(10 * cell) for cell in row] for row in IRIS]
    add("int-features", "tabular-classification", features("int-features", tenths, np.int64, ["0", "1", "2"]))
    add("no-batch", "tabular-regression", no_batch())
    add("nan-output", "tabular-regression",
        features("nan-output", [[1.0, 2.0], [10.0, 0.5], [-1.0, 2.0], [0.0, 1.0]], np.float32))
    add("external-data", "tabular-classification", features("external-data", IRIS, np.float32, ["LABEL_0", "LABEL_1", "LABEL_2"]))
    add("two-inputs-unknown", "unknown", [], "a picture and five numbers: the server must say what it cannot tell")
    return models


def main() -> None:
    models = reference()
    text = json.dumps(models, ensure_ascii=False, indent=1)
    (HERE / "zero_config.json").write_text(text + "\n", encoding="utf-8")
    for name, entry in models.items():
        tops = {case.get("label") for case in entry["cases"] if "label" in case}
        print(f"{name}: {len(entry['cases'])} cases, {len(tops)} different labels")


if __name__ == "__main__":
    main()

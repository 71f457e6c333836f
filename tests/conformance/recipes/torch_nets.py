"""Bare PyTorch networks, exported by torch.onnx in its older form and by way of torch.export."""

import functools
import json

import common

# Imported before the first case, since common.py seeds what is imported.
import numpy as np
import torch
from torch import nn

import deep_pictures as pictures

REQUIREMENTS = "deep"

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3], [-1.0, 0.0, 2.5, 10.0]]
LABELS = ["setosa", "versicolor", "virginica"]


def mlp(outputs: int, *last) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, outputs), *last)


class Scaled(nn.Module):
    """Wider apart than a fresh network's answers."""

    def __init__(self, inner, by: float = 3.0, shift: float = 0.0):
        super().__init__()
        self.inner, self.by, self.shift = inner, by, shift

    def forward(self, x):
        return self.inner(x) * self.by + self.shift


class Labelled(nn.Module):
    """The label's number beside the scores."""

    def __init__(self, first: bool, probabilities: bool):
        super().__init__()
        self.body, self.first, self.probabilities = mlp(3), first, probabilities

    def forward(self, x):
        scores = self.body(x) * 3
        label = scores.argmax(dim=1)
        if self.probabilities:
            scores = scores.softmax(dim=1)
        return (label, scores) if self.first else (scores, label)


class Embedded(nn.Module):
    """The layer before the last beside the scores."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(4, 8), nn.Tanh()), nn.Linear(8, 3)

    def forward(self, x):
        hidden = self.body(x)
        return self.head(hidden) * 3, hidden


class OneRow(nn.Module):
    """A number of rows that the code has fixed."""

    def __init__(self, outputs: int = 3):
        super().__init__()
        self.body = mlp(outputs)

    def forward(self, x):
        return self.body(x.reshape(1, 4)) * 3


class Columns(nn.Module):
    """An input for each column."""

    def __init__(self):
        super().__init__()
        self.body = mlp(3)

    def forward(self, age, fare, children, vip):
        columns = [age, fare, children.to(torch.float32), vip.to(torch.float32)]
        return self.body(torch.cat(columns, dim=1)) * 3


def exported(folder, model, example, inputs, outputs, dynamo: bool, open_batch: bool = True, axes=None) -> None:
    model.eval()
    file = str(folder / "model.onnx")
    options = {"input_names": inputs, "output_names": outputs}
    if dynamo:
        if open_batch:
            options["dynamic_shapes"] = tuple({0: torch.export.Dim("batch")} for _ in example)
        torch.onnx.export(model, example, file, dynamo=True, external_data=False, verbose=False, **options)
    else:
        if open_batch:
            options["dynamic_axes"] = axes or {name: {0: "batch"} for name in inputs + outputs}
        torch.onnx.export(model, example, file, dynamo=False, opset_version=17, **options)


def labels_file(folder, names) -> None:
    (folder / "labels.txt").write_text("\n".join(names) + "\n")


def classes(probabilities, names) -> dict:
    scores = dict(zip(names, probabilities, strict=True))
    return {"label": max(scores, key=scores.get), "scores": scores}


def rows_of(dtype=torch.float32):
    return torch.tensor(ROWS, dtype=dtype)


def values(model, x):
    with torch.no_grad():
        found = model(x)
    return found[0] if isinstance(found, tuple) else found


def classifier(folder, dynamo, make=lambda: Scaled(mlp(3)), names=LABELS, kind="logits", dtype=torch.float32,
               inputs=("features",), outputs=("logits",), open_batch=True, at=0, rows=2):  # fmt: skip
    """`kind` says what the network ends in."""
    model = make().to(dtype).eval()
    exported(folder, model, (rows_of(dtype)[: rows if open_batch else 1],), list(inputs), list(outputs), dynamo, open_batch)
    if names:
        labels_file(folder, names)
    expected = []
    for row in rows_of(dtype):
        with torch.no_grad():
            found = model(row[None])
        scores = (found[at] if isinstance(found, tuple) else found)[0].double()
        if kind == "logits":
            scores = scores.softmax(-1)
        elif kind == "log":
            # Logarithms of probabilities: the softmax of them are the probabilities.
            scores = scores.softmax(-1)
        expected.append(classes(scores.tolist(), names or [f"LABEL_{number}" for number in range(len(scores))]))
    return [{"json": {"features": ROWS}, "expected": expected}]


def numbered(folder, dynamo, **options):
    """No class names, but the network's own integers."""
    requests = classifier(folder, dynamo, names=None, **options)
    for row in requests[0]["expected"]:
        row["label"] = row["label"].removeprefix("LABEL_")
        row["scores"] = {name.removeprefix("LABEL_"): score for name, score in row["scores"].items()}
    return requests


def regression(folder, dynamo, outputs: int = 1, dtype=torch.float32, squeeze: bool = False, name="value"):
    model = Scaled(mlp(outputs), 10, 50).to(dtype)
    if squeeze:
        model = nn.Sequential(model, nn.Flatten(0))
    exported(folder, model, (rows_of(dtype)[:2],), ["features"], [name], dynamo)
    expected = []
    for row in rows_of(dtype):
        found = values(model, row[None]).reshape(-1).tolist()
        expected.append({"value": found[0] if len(found) == 1 else found})
    return [{"json": {"features": ROWS}, "expected": expected}]


def columns(folder, dynamo):
    model = Columns()
    given = {"age": [[30.0], [4.5]], "fare": [[7.25], [80.0]], "children": [[0], [3]], "vip": [[True], [False]]}
    types = {"age": torch.float32, "fare": torch.float32, "children": torch.int64, "vip": torch.bool}
    example = tuple(torch.tensor(given[name], dtype=types[name]) for name in given)
    exported(folder, model, example, list(given), ["logits"], dynamo)
    labels_file(folder, LABELS)
    with torch.no_grad():
        probabilities = model(*example).softmax(-1).tolist()
    expected = [classes(row, LABELS) for row in probabilities]
    flat = {name: [one[0] for one in column] for name, column in given.items()}
    records = [{name: column[number] for name, column in flat.items()} for number in range(2)]
    return [{"json": {"features": flat}, "expected": expected}, {"json": {"features": records}, "expected": expected}]


def rewritten(folder, change) -> None:
    import onnx

    model = onnx.load(folder / "model.onnx")
    onnx.save(change(model) or model, folder / "model.onnx")


def by_runtime(folder, names=LABELS, kind="logits", dtype=np.float32, regression=False):
    """The network's own numbers, each row alone."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    expected = []
    for row in ROWS:
        found = session.run(None, {session.get_inputs()[0].name: np.asarray([row], dtype=dtype)})[0][0]
        if regression:
            expected.append({"value": float(found[0])})
            continue
        scores = torch.tensor(found.astype(np.float64))
        expected.append(classes((scores.softmax(-1) if kind == "logits" else scores).tolist(), names))
    return [{"json": {"features": ROWS}, "expected": expected}]


def quantized(folder, dynamo, kind="dynamic"):
    """int8 by ONNX Runtime: the scale is taken over the whole batch, so rows change their neighbours' answers."""
    classifier(folder, dynamo)
    whole = folder / "float.onnx"
    (folder / "model.onnx").rename(whole)
    common.in_eight_bits(whole, folder / "model.onnx")
    whole.unlink()
    return by_runtime(folder)


def half(folder, dynamo, keep: bool):
    from onnxconverter_common import float16

    classifier(folder, dynamo)
    rewritten(folder, lambda model: float16.convert_float_to_float16(model, keep_io_types=keep))
    return {"requests": by_runtime(folder, dtype=np.float32 if keep else np.float16), "tolerance": 2e-3}


# --- pictures -----------------------------------------------------------------------------------


class Picture(nn.Module):
    """`layout` is how the caller's pixels lie."""

    def __init__(self, outputs: int, layout: str = "NCHW", channels: int = 3, last=None, scale_in: float = 1.0):
        super().__init__()
        self.layout, self.scale_in, self.last = layout, scale_in, last
        self.body = nn.Sequential(nn.Conv2d(channels, 6, 4, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.head = nn.Linear(24, outputs)

    def forward(self, x):
        x = x.to(torch.float32) * self.scale_in
        if self.layout == "NHWC":
            x = x.permute(0, 3, 1, 2)
        found = self.head(self.body(x)) * 4
        return self.last(found) if self.last else found


IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
SQUARE = {"size": {"height": 24, "width": 24}, "resample": 2, "do_center_crop": False}


def pixels(image, said: dict, channels: int = 3) -> torch.Tensor:
    from PIL import Image

    image = image.convert("RGB" if channels == 3 else "L")
    image = image.resize((said["size"]["width"], said["size"]["height"]), Image.Resampling(said["resample"]))
    found = np.asarray(image, dtype=np.float32).reshape(said["size"]["height"], said["size"]["width"], channels)
    if said.get("do_rescale", True):
        found = found / 255
    if said.get("do_normalize", True):
        found = (found - np.float32(said["image_mean"])) / np.float32(said["image_std"])
    return torch.from_numpy(np.ascontiguousarray(found.transpose(2, 0, 1)))[None]


def picture(folder, dynamo, said, model, names, kind="logits", channels=3, layout="NCHW", dtype=torch.float32,
            write=True, open_batch=True, name="image"):  # fmt: skip
    from PIL import Image

    model.eval()
    found = []
    files = pictures.files(folder)
    for file in files:
        x = pixels(Image.open(folder / file), said, channels)
        x = x.permute(0, 2, 3, 1) if layout == "NHWC" else x
        found.append(x.to(dtype))
    example = torch.cat(found) if open_batch else found[0]
    exported(folder, model, (example,), [name], ["logits"], dynamo, open_batch)
    if names:
        labels_file(folder, names)
    if write:
        (folder / "preprocessor_config.json").write_text(json.dumps(said) + "\n")
    requests = []
    for file, x in zip(files, found, strict=True):
        with torch.no_grad():
            scores = model(x)[0].double()
        if kind == "value":
            requests.append({"file": file, "expected": [{"value": scores.tolist()[0]}]})
            continue
        scores = (scores.softmax(-1) if kind == "logits" else scores).tolist()
        every = names or [f"LABEL_{number}" for number in range(len(scores))]
        requests.append({"file": file, "expected": [classes(scores, every)]})
    return requests


def image_cases() -> dict:
    tags = ["sea", "sand", "sky", "tree", "car"]
    rgb = SQUARE | IMAGENET
    raw = SQUARE | {"do_rescale": False, "do_normalize": False}
    unit = SQUARE | {"do_normalize": False}
    grey = SQUARE | {"image_mean": [0.5], "image_std": [0.5]}
    one = functools.partial
    return {
        "image-logits": one(picture, said=rgb, make=one(Picture, 5), names=tags),
        "image-nhwc": one(picture, said=rgb, make=one(Picture, 5, "NHWC"), names=tags, layout="NHWC"),
        "image-softmax": one(picture, said=rgb, make=one(Picture, 5, last=nn.Softmax(1)), names=tags, kind="same"),
        "image-sigmoid": one(picture, said=rgb, make=one(Picture, 5, last=nn.Sigmoid()), names=tags, kind="same"),
        "image-log-softmax": one(picture, said=rgb, make=one(Picture, 5, last=nn.LogSoftmax(1)), names=tags),
        "image-no-names": one(picture, said=rgb, make=one(Picture, 4), names=None),
        "image-uint8": one(picture, said=raw, make=one(Picture, 5, scale_in=1 / 255), names=tags, dtype=torch.uint8),
        "image-uint8-nhwc": one(picture, said=raw, make=one(Picture, 5, "NHWC", scale_in=1 / 255), names=tags,
                                dtype=torch.uint8, layout="NHWC"),
        "image-0-to-255": one(picture, said=raw, make=one(Picture, 5, scale_in=1 / 255), names=tags),
        "image-0-to-1": one(picture, said=unit, make=one(Picture, 5), names=tags),
        "image-grey": one(picture, said=grey, make=one(Picture, 5, channels=1), names=tags, channels=1),
        "image-grey-nhwc": one(picture, said=grey, make=one(Picture, 5, "NHWC", 1), names=tags, channels=1, layout="NHWC"),
        "image-fixed-batch": one(picture, said=rgb, make=one(Picture, 5), names=tags, open_batch=False),
        "image-two-classes": one(picture, said=rgb, make=one(Picture, 2), names=["cat", "dog"]),
        "image-input-named-x": one(picture, said=rgb, make=one(Picture, 5), names=tags, name="x.1"),
    }  # fmt: skip


def image_build(folder, dynamo, made):
    model = made.keywords["make"]()
    options = {key: value for key, value in made.keywords.items() if key != "make"}
    return picture(folder, dynamo, model=model, **options)


def one(made, **options):
    return functools.partial(made, **options)


def plain_cases() -> dict:
    """Name: (build, task)."""
    c, r = "tabular-classification", "tabular-regression"
    log, soft, sig = nn.LogSoftmax(1), nn.Softmax(1), nn.Sigmoid()
    return {
        "logits": (classifier, c),
        # Nothing says that these three numbers are classes.
        "three-numbers-without-names": (one(regression, outputs=3, name="output"), r),
        "softmax": (one(classifier, make=lambda: mlp(3, Scaled(nn.Identity()), soft), kind="same"), c),
        "softmax-without-names": (one(classifier, make=lambda: mlp(3, Scaled(nn.Identity()), soft), kind="same",
                                      names=None, outputs=("probabilities",)), c),
        "log-softmax": (one(classifier, make=lambda: mlp(3, Scaled(nn.Identity()), log), kind="log"), c),
        "sigmoid": (one(classifier, make=lambda: mlp(3, Scaled(nn.Identity()), sig), kind="same"), c),
        "sigmoid-one": (one(classifier, make=lambda: mlp(1, Scaled(nn.Identity()), sig), kind="same", names=["spam"]), c),
        "softmax-double": (one(classifier, make=lambda: mlp(3, Scaled(nn.Identity()), soft), kind="same",
                               dtype=torch.float64), c),
        "logits-double": (one(classifier, dtype=torch.float64), c),
        "logits-half": (one(classifier, dtype=torch.float16), c),
        "binary-logits": (one(classifier, make=lambda: Scaled(mlp(2)), names=["no", "yes"]), c),
        "label-after-scores": (one(classifier, make=lambda: Labelled(False, False), outputs=("logits", "label"), at=0), c),
        "label-before-scores": (one(classifier, make=lambda: Labelled(True, False), outputs=("label", "logits"), at=1), c),
        "label-before-probabilities": (one(classifier, make=lambda: Labelled(True, True), kind="same", at=1,
                                           outputs=("label", "probabilities")), c),
        "label-without-names": (one(numbered, make=lambda: Labelled(True, True), kind="same", at=1,
                                    outputs=("label", "probabilities")), c),
        "logits-and-embedding": (one(classifier, make=Embedded, outputs=("logits", "embedding")), c),
        "one-row-only": (one(classifier, make=OneRow, rows=1), c),
        "fixed-batch": (one(classifier, open_batch=False), c),
        "input-named-x": (one(classifier, inputs=("onnx::Gemm_0",), outputs=("output.1",)), c),
        "quantized": (quantized, c),
        "half-inside": (one(half, keep=True), c),
        "half-throughout": (one(half, keep=False), c),
        "columns": (columns, c),
        "regression": (regression, r),
        "regression-two": (one(regression, outputs=2), r),
        "regression-five": (one(regression, outputs=5), r),
        "regression-double": (one(regression, dtype=torch.float64), r),
        "regression-without-axis": (one(regression, squeeze=True), r),
        "regression-named-output": (one(regression, name="output"), r),
    }  # fmt: skip


# Of what the two exporters write alike, one.
ONLY_OLD = {"half-throughout", "logits-half", "one-row-only", "quantized"}
COMMITTED_NEW = {"logits", "softmax", "sigmoid", "label-before-scores", "logits-and-embedding", "fixed-batch", "columns",
                 "regression", "regression-two", "softmax-double", "image-logits", "image-nhwc", "image-sigmoid",
                 "image-uint8", "image-grey", "image-no-names", "image-fixed-batch"}  # fmt: skip


def cases():
    for exporter, dynamo in (("torch", False), ("torch-dynamo", True)):
        for name, (build, task) in plain_cases().items():
            if dynamo and name in ONLY_OLD:
                continue
            yield common.case(
                exporter, name, functools.partial(build, dynamo=dynamo), family="networks on features", task=task,
                made_with=("torch", "onnx"), committed=not dynamo or name in COMMITTED_NEW,
                tolerance=1e-4 if "half" not in name else 5e-3,
            )  # fmt: skip
        for name, made in image_cases().items():
            yield common.case(
                exporter, name, functools.partial(image_build, dynamo=dynamo, made=made), family="networks on images",
                task="image-classification", made_with=("torch", "onnx"),
                committed=not dynamo or name in COMMITTED_NEW, tolerance=1e-3,
            )  # fmt: skip


if __name__ == "__main__":
    common.main(cases)

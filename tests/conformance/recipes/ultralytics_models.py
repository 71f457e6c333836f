"""Ultralytics' models of random weights by their own export: names and task stand in the network's metadata."""

import functools
import os
import shutil
import tempfile
from pathlib import Path

import common

# Imported before the first case, since common.py seeds what is imported.
import torch

import deep_pictures as pictures
import deep_tensors

REQUIREMENTS = "deep"

NAMES = ["cat", "dog", "owl"]

CLASSIFIER = """
nc: 3
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [24, 3, 2]]
head:
  - [-1, 1, Classify, [nc]]
"""
HEADS = {
    "detect": "Detect, [nc]", "segment": "Segment, [nc, 4, 8]", "pose": "Pose, [nc, [3, 3]]", "obb": "OBB, [nc, 1]",
}  # fmt: skip
OTHER = """
nc: 3
kpt_shape: [3, 3]
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [8, 3, 2]]
head:
  - [[2], 1, {head}]
"""


def yolo(folder: Path, text: str, task: str, size: int, **options):
    # It writes its settings below the home folder otherwise.
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["YOLO_CONFIG_DIR"] = scratch
        os.environ["YOLO_OFFLINE"] = "true"
        os.environ["YOLO_AUTOINSTALL"] = "false"
        from ultralytics import YOLO

        file = Path(scratch) / f"yolov8n-{task}.yaml"
        file.write_text(text)
        model = YOLO(file, task=task)
        model.model.names = dict(enumerate(NAMES))
        model.model.eval()
        if task == "classify":
            settle(model.model)
        weights = Path(scratch) / "model.pt"
        model.ckpt = {}
        model.save(weights)
        model = YOLO(weights, task=task)
        made = model.export(format="onnx", imgsz=size, dynamic=options.pop("dynamic", True), simplify=False, verbose=False,
                            **options)
        shutil.copy(made, folder / "model.onnx")
        return model


def settle(model) -> None:
    """Makes the last layer's answers differ from picture to picture."""
    head = model.model[-1].linear
    with torch.no_grad():
        head.weight.mul_(60)
        head.bias.zero_()


def classify(folder, size=32, **options):
    from PIL import Image
    from ultralytics.data.augment import classify_transforms

    model = yolo(folder, CLASSIFIER, "classify", size, **options)
    transform = classify_transforms(size)
    requests = []
    network = model.model.float().eval()
    for file in pictures.files(folder):
        with torch.no_grad():
            found = network(transform(Image.open(folder / file).convert("RGB"))[None])
        found = (found[0] if isinstance(found, (tuple, list)) else found)[0].tolist()
        scores = dict(zip(NAMES, found, strict=True))
        requests.append({"file": file, "expected": [{"label": max(scores, key=scores.get), "scores": scores}]})
    return requests


def other(folder, task, says, **options):
    yolo(folder, OTHER.format(head=HEADS[task]), task, 32, **options)
    return {"requests": deep_tensors.through(folder, sizes={"batch": 1, "*": 32}), "says": says}


def cases():
    one = functools.partial
    made_with = ("ultralytics", "torch")
    for name, build in {
        "classify": one(classify), "classify-fixed-batch": one(classify, dynamic=False), "classify-64": one(classify, size=64),
        "classify-opset-12": one(classify, opset=12),
    }.items():  # fmt: skip
        yield common.case("ultralytics", name, build, family="classifiers", task="image-classification",
                          made_with=made_with, committed=name == "classify", tolerance=2e-3)  # fmt: skip
    for name, build in {
        "detect": one(other, task="detect", says=["detects objects"]),
        "detect-fixed-batch": one(other, task="detect", says=["detects objects"], dynamic=False),
        "detect-with-nms": one(other, task="detect", says=["detects objects"], nms=True, dynamic=False),
        "segment": one(other, task="segment", says=["segment"]),
        "pose": one(other, task="pose", says=["pose"]),
        "obb": one(other, task="obb", says=["oriented"]),
    }.items():  # fmt: skip
        yield common.case("ultralytics", name, build, family="detectors", task="tensors", made_with=made_with,
                          committed=False)  # fmt: skip


if __name__ == "__main__":
    common.main(cases)

"""A bundled model as a service written by hand runs it: Pillow, OpenCV or tokenizers, numpy, ONNX Runtime.

The environment: MODEL_FOLDER, a folder such as models/efficientnet-lite0; MODEL_FILE, the network in
it, by default model.onnx; IMAGES, what decodes and resizes images, `pillow` (the default) or `opencv`.
"""

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from PIL import Image
from tokenizers import Tokenizer


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


class Frame:
    """How images become what a network sees: resized, then the middle cut out."""

    def __init__(self, config: dict) -> None:
        self.shortest = config["size"]["shortest_edge"]
        self.crop = config["crop_size"]["width"], config["crop_size"]["height"]
        self.resample = Image.Resampling(config["resample"])

    def of(self, size: Sequence[int]) -> tuple[list[int], list[int]]:
        """An image's width and height when resized, and the crop's left, top, right and bottom in it."""
        factor = self.shortest / min(size)
        size = [round(side * factor) for side in size]
        start = [(side - crop) // 2 for side, crop in zip(size, self.crop, strict=True)]
        return size, start + [first + crop for first, crop in zip(start, self.crop, strict=True)]


def pillow(body: bytes, frame: Frame) -> np.ndarray:
    """The planes red, green and blue of a file's image. The filter is the config's, and antialiased."""
    image = Image.open(io.BytesIO(body)).convert("RGB")
    size, box = frame.of(image.size)
    return np.asarray(image.resize(size, frame.resample).crop(box)).transpose(2, 0, 1)


def opencv(body: bytes, frame: Frame) -> Sequence[np.ndarray]:
    """The same, bilinear from the nearest pixels alone: not antialiased."""
    image = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR) if body else None
    if image is None:
        raise ValueError("not an image")
    size, (left, top, right, bottom) = frame.of(image.shape[1::-1])
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    # They come as blue, green and red.
    return cv2.split(image[top:bottom, left:right])[::-1]


class Model:
    """A network with what is before and after it. Bodies in, answers out."""

    labels: list[str]

    def __init__(self, folder: Path, file: str) -> None:
        options = onnxruntime.SessionOptions()
        # Each worker process has a core of its own: more threads would only fight over it.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(folder / file, options, providers=["CPUExecutionProvider"])

    def run(self, inputs: dict[str, np.ndarray]) -> list[dict]:
        """An answer for each row."""
        probabilities = softmax(self.session.run(None, inputs)[0])
        best = probabilities.argmax(axis=1)
        return [
            {"label": self.labels[index], "score": float(row[index])}
            for index, row in zip(best, probabilities, strict=True)
        ]


class ImageModel(Model):
    """An image's file in."""

    def __init__(self, folder: Path, file: str) -> None:
        super().__init__(folder, file)
        self.labels = (folder / "labels.txt").read_text().splitlines()
        config = json.loads((folder / "preprocessor_config.json").read_text())
        self.frame = Frame(config)
        self.planes = {"pillow": pillow, "opencv": opencv}[os.environ.get("IMAGES", "pillow")]
        # As with the session's threads.
        cv2.setNumThreads(1)
        mean, std = (np.array(config[key], np.float32).reshape(3, 1, 1) for key in ("image_mean", "image_std"))
        # (x / 255 - mean) / std as one product and one sum.
        self.scale, self.shift = np.float32(config["rescale_factor"]) / std, -mean / std

    def prepare(self, body: bytes) -> np.ndarray:
        """A body as float32 [3, height, width]."""
        values = np.array(self.planes(body, self.frame), np.float32, order="C")
        values *= self.scale
        values += self.shift
        return values

    def predict(self, rows: list[np.ndarray]) -> list[dict]:
        return self.run({"input": np.stack(rows)})


class TextModel(Model):
    """JSON with a `text` in."""

    def __init__(self, folder: Path, file: str) -> None:
        super().__init__(folder, file)
        names = json.loads((folder / "config.json").read_text())["id2label"]
        self.labels = [names[str(index)] for index in range(len(names))]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()

    def prepare(self, body: bytes) -> np.ndarray:
        """A body as int64 [tokens]."""
        return np.array(self.tokenizer.encode(json.loads(body)["text"]).ids, np.int64)

    def predict(self, rows: list[np.ndarray]) -> list[dict]:
        longest = max(len(row) for row in rows)
        ids, mask = np.zeros((2, len(rows), longest), np.int64)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row
            mask[index, : len(row)] = 1
        return self.run({"input_ids": ids, "attention_mask": mask})


def load() -> ImageModel | TextModel:
    """The model that the environment names."""
    folder = Path(os.environ["MODEL_FOLDER"])
    kind = ImageModel if (folder / "preprocessor_config.json").exists() else TextModel
    return kind(folder, os.environ.get("MODEL_FILE", "model.onnx"))

"""A bundled model as a service written by hand runs it: Pillow or tokenizers, numpy, ONNX Runtime.

The environment: MODEL_FOLDER, a folder such as models/efficientnet-lite0; MODEL_FILE, the network in
it, by default model.onnx.
"""

import io
import json
import os
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from tokenizers import Tokenizer


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


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
        self.shortest = config["size"]["shortest_edge"]
        self.crop = config["crop_size"]["width"], config["crop_size"]["height"]
        self.resample = Image.Resampling(config["resample"])
        mean, std = (np.array(config[key], np.float32).reshape(3, 1, 1) for key in ("image_mean", "image_std"))
        # (x / 255 - mean) / std as one product and one sum.
        self.scale, self.shift = np.float32(config["rescale_factor"]) / std, -mean / std

    def prepare(self, body: bytes) -> np.ndarray:
        """A body as float32 [3, height, width]."""
        image = Image.open(io.BytesIO(body)).convert("RGB")
        factor = self.shortest / min(image.size)
        image = image.resize([round(side * factor) for side in image.size], self.resample)
        left, top = ((side - crop) // 2 for side, crop in zip(image.size, self.crop, strict=True))
        image = image.crop((left, top, left + self.crop[0], top + self.crop[1]))
        pixels = np.asarray(image).transpose(2, 0, 1)
        return pixels * self.scale + self.shift

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

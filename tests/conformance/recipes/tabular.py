"""Data, references and checks for models of rows of numbers and strings.

The reference is the library's answer; the network's own (ONNX Runtime in Python) must agree with it, unless the
case says in `difference` why it does not. Then the network's answer is the reference.
"""

import os

import numpy as np
import onnxruntime

from common import plain

ROWS = 5


def numbers(rows: int = 90, columns: int = 4, seed: int = 0) -> np.ndarray:
    """Three groups that overlap, of which networks see what the library sees: FP32."""
    random = np.random.default_rng(seed)
    centres = random.normal(0, 1.2, (3, columns))
    return np.round(centres[np.arange(rows) % 3] + random.normal(0, 1, (rows, columns)), 2).astype(np.float32)


def groups(rows: int = 90) -> np.ndarray:
    return np.arange(rows) % 3


def values(X: np.ndarray) -> np.ndarray:
    return np.round(X[:, 0] * 2 - X[:, 1] + np.sin(X[:, 2]) + 3, 2).astype(np.float32)


def flags(X: np.ndarray) -> np.ndarray:
    """Several labels a row."""
    return np.stack([X[:, 0] > 0, X[:, 1] + X[:, 2] > 0, X[:, 3] > 0.5], 1).astype(np.int64)


def asked(X: np.ndarray) -> np.ndarray:
    """Beside the rows of the training, where some models have steps; whole numbers as they are."""
    rows = X[7 : 7 + ROWS]
    return rows if (rows == np.round(rows)).all() else rows + X.dtype.type(0.013)


class Network:
    """What ONNX Runtime says of model.onnx."""

    def __init__(self, path: str | os.PathLike) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.inputs = self.session.get_inputs()
        self.outputs = self.session.get_outputs()

    def feed(self, rows: object) -> dict:
        """An array for the only input, or columns by name for inputs [N,1]."""
        if not isinstance(rows, dict):
            return {self.inputs[0].name: typed(rows, self.inputs[0].type)}
        return {one.name: typed(np.asarray(rows[one.name]).reshape(-1, 1), one.type) for one in self.inputs}

    def run(self, rows: object) -> dict[str, object]:
        answers = self.session.run(None, self.feed(rows))
        return {one.name: answer for one, answer in zip(self.outputs, answers, strict=True)}


def typed(values: np.ndarray, kind: str) -> np.ndarray:
    names = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}
    names |= {"tensor(int32)": np.int32, "tensor(bool)": np.bool_, "tensor(string)": object}
    return np.asarray(values).astype(names[kind])


def taken(rows: object, number: int) -> object:
    if isinstance(rows, dict):
        return {name: column[number : number + 1] for name, column in rows.items()}
    return rows[number : number + 1]


def requests(rows: object, expected: list, **more: object) -> list:
    """All rows in one request, and the last alone: no answer depends on the neighbours."""
    return [
        {"json": {"features": plain(rows)}, "expected": expected, **more},
        {"json": {"features": plain(taken(rows, len(expected) - 1))}, "expected": expected[-1:], **more},
    ]


def by_class(names: list, scores: np.ndarray) -> list[dict]:
    return [{str(name): score for name, score in zip(names, row, strict=True)} for row in scores]


def same(library: object, network: object, tolerance: float, what: str) -> None:
    library, network = np.asarray(library), np.asarray(network)
    network = network.reshape(library.shape)
    if library.dtype.kind in "OUSb" or network.dtype.kind in "OUSb":
        equal = [str(one) for one in library.ravel()] == [str(one) for one in network.ravel()]
    else:
        equal = np.allclose(network, library, tolerance, tolerance)
    if not equal:
        raise AssertionError(f"{what}: the library says {library.tolist()}, the network {network.tolist()}")

"""Writes models of scikit-learn by skl2onnx, with scikit-learn's answers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import case
from skl2onnx import to_onnx

import tabular

MADE_WITH = ("scikit-learn", "skl2onnx")
NO_ZIPMAP = {"zipmap": False}


def targets(kind: str, X: np.ndarray) -> np.ndarray:
    three = tabular.groups(len(X))
    two = (three > 0).astype(np.int64)
    match kind:
        case "two":
            return two
        case "three":
            return three
        case "six":
            return np.arange(len(X)) % 3 + 3 * (X[:, 3] > 0)
        case "one-based":
            return three + 1
        case "shifted":
            return np.array([10, 20, 35])[three]
        case "negative":
            return two * 2 - 1
        case "strings":
            return np.array(["low", "middle", "high"])[three]
        case "two-strings":
            return np.array(["spam", "ham"])[two]
        case "bools":
            return two > 0
        case "digits":
            return np.array(["7", "11", "3"])[three]
        case "floats":
            return three.astype(np.float64)
        case "around-zero":
            return three - 1
        case "large":
            return np.array([2**40 + 1, 7, -(2**33)])[three]
        case "odd-strings":
            return np.array(["", "größer, or not", " a b\t"])[three]
        case "flags":
            return tabular.flags(X)
        case "pair":
            return np.stack([three, np.array([5, 9])[two]], 1)
        case "string-pair":
            return np.stack([np.array(["a", "b", "c"])[three], np.array(["no", "yes"])[two]], 1)
        case "value":
            return tabular.values(X)
        case "positive":
            return np.abs(tabular.values(X)) + np.float32(0.1)
        case "values":
            return np.stack([tabular.values(X), X[:, 3] - X[:, 0]], 1)
    raise ValueError(kind)


def labels(answers: np.ndarray) -> list:
    """As the network names them: integers for booleans and for whole floats."""
    answers = np.asarray(answers)
    if answers.dtype.kind in "bf":
        answers = answers.astype(np.int64)
    return [list(map(str, one)) if answers.ndim > 1 else str(one) for one in answers.tolist()]


def class_names(model: object) -> list:
    return labels(model.classes_)


def classifier(
    exporter: str,
    name: str,
    make: Callable,
    target: str,
    *,
    family: str,
    scores: str = "predict_proba",
    options: dict | None = NO_ZIPMAP,
    X: np.ndarray | None = None,
    example: np.ndarray | None = None,
    difference: str | None = None,
    convert: dict | None = None,
    beside: Callable[[Path, object], None] | None = None,
    names: list[str] | None = None,
    **said: object,
):
    """`scores`: predict_proba or decision_function (by class), network (the network's numbers by class),
    value (numbers of no class), none."""

    def build(folder: Path) -> dict:
        data = tabular.numbers() if X is None else X
        model = make()
        model.fit(data, targets(target, data))
        rows = tabular.asked(data)
        write(folder, model, data[:1] if example is None else example, options, convert)
        if beside:
            beside(folder, model)
        expected = expect(folder, model, rows, scores, said.get("tolerance", 1e-4), difference, names)
        return {"requests": tabular.requests(rows, expected)} | ({"difference": difference} if difference else {})

    said = {"committed": True, "task": "tabular-classification", "made_with": MADE_WITH} | said
    return case(exporter, name, build, family=family, **said)


def write(folder: Path, model: object, example: np.ndarray, options: dict | None, convert: dict | None) -> None:
    options = {id(model): options} if options else None
    onnx = to_onnx(model, example, options=options, **(convert or {}))
    (folder / "model.onnx").write_bytes(onnx.SerializeToString())


def zipped(answers: list, classes: list) -> np.ndarray:
    """ZipMap's list of maps as an array."""
    return np.array([[one[key] for key in one] for one in answers], np.float32)


def expect(
    folder: Path,
    model: object,
    rows: np.ndarray,
    scores: str,
    tolerance: float,
    difference: str | None,
    names: list[str] | None = None,
) -> list[dict]:
    network = list(tabular.Network(folder / "model.onnx").run(rows).values())
    own, label = labels(np.asarray(network[0]).reshape(np.shape(model.predict(rows)))), labels(model.predict(rows))
    known = names or (class_names(model) if hasattr(model, "classes_") and scores != "none" else None)
    if names:
        own = [names[int(one)] for one in own]
    if own != label and not difference:
        raise AssertionError(f"labels: the library says {label}, the network {own}")
    expected = [{"label": one} for one in own]
    if scores == "none":
        return expected
    got = network[1]
    if isinstance(got, list):
        got = zipped(got, known)
    elif len(network) > 2 and np.ndim(got) == 1:
        # zipmap="columns": an output a class.
        got = np.stack(network[1:], 1)
    if scores not in ("network", "value") and not difference:
        theirs = np.asarray(getattr(model, scores)(rows), np.float32)
        tabular.same(theirs, got, tolerance, scores)
        got = theirs
    got = np.asarray(got, np.float32)
    if scores == "value":
        values = got.reshape(-1) if got.size == len(rows) else got
        return [one | {"value": value} for one, value in zip(expected, values, strict=True)]
    return [one | {"scores": two} for one, two in zip(expected, tabular.by_class(known, got), strict=True)]


def regressor(
    exporter: str,
    name: str,
    make: Callable,
    target: str = "value",
    *,
    family: str,
    X: np.ndarray | None = None,
    example: np.ndarray | None = None,
    difference: str | None = None,
    convert: dict | None = None,
    options: dict | None = None,
    **said: object,
):
    said = {"committed": True, "task": "tabular-regression", "made_with": MADE_WITH} | said

    def build(folder: Path) -> dict:
        data = tabular.numbers() if X is None else X
        model = make()
        model.fit(data, targets(target, data))
        rows = tabular.asked(data)
        write(folder, model, data[:1] if example is None else example, options, convert)
        got = next(iter(tabular.Network(folder / "model.onnx").run(rows).values()))
        kind = got.dtype
        if not difference:
            theirs = model.predict(rows)
            tabular.same(theirs, got, said.get("tolerance", 1e-4), "predict")
            got = theirs
        got = np.asarray(got).astype(kind)
        got = got.reshape(-1) if got.size == len(rows) else got
        expected = [{"value": value} for value in got]
        return {"requests": tabular.requests(rows, expected)} | ({"difference": difference} if difference else {})

    return case(exporter, name, build, family=family, **said)


def unsupervised(
    exporter: str,
    name: str,
    make: Callable,
    *,
    family: str,
    scores: str | None = None,
    X: np.ndarray | None = None,
    convert: dict | None = None,
    options: dict | None = None,
    difference: str | None = None,
    **said: object,
):
    """Clusterers, mixtures and detectors of outliers: a label, and numbers by cluster or for the row.

    `scores` is the method that gives what the network's second output holds."""
    said = {"committed": True, "task": "tabular-classification", "made_with": MADE_WITH} | said

    def build(folder: Path) -> dict:
        data = tabular.numbers() if X is None else X
        model = make()
        model.fit(data)
        rows = tabular.asked(data)
        write(folder, model, data[:1], options, convert)
        network = list(tabular.Network(folder / "model.onnx").run(rows).values())
        tolerance = said.get("tolerance", 1e-4)
        got = np.asarray(network[1], np.float32)
        if not difference:
            tabular.same(model.predict(rows), network[0], 0, "predict")
            if scores:
                theirs = np.asarray(getattr(model, scores)(rows), np.float32)
                tabular.same(theirs, got, tolerance, scores)
                got = theirs.reshape(got.shape)
        expected = [{"label": one} for one in labels(np.asarray(network[0]).reshape(-1))]
        if got.size == len(rows):
            expected = [one | {"value": value} for one, value in zip(expected, got.reshape(-1), strict=True)]
        else:
            names = [str(number) for number in range(got.shape[1])]
            expected = [one | {"scores": two} for one, two in zip(expected, tabular.by_class(names, got), strict=True)]
        return {"requests": tabular.requests(rows, expected)} | ({"difference": difference} if difference else {})

    return case(exporter, name, build, family=family, **said)

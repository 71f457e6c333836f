"""Compute metrics with scikit-learn and statsmodels on made-up answers of models.

The answers and what these libraries say of them go to evaluate.json; onnxd's
metrics must be the same.  Scores are what a float32 holds, since a model's are.

    python tests/reference/evaluate.py
"""

import json
import warnings
from pathlib import Path

import numpy as np
from sklearn import metrics
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

HERE = Path(__file__).resolve().parent
BINS = 15
RANDOM = np.random.default_rng(7)


# --- Answers -----------------------------------------------------------------


def probabilities(logits):
    """Softmax, rounded so that the numbers are short."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.round(powers / powers.sum(axis=1, keepdims=True), 5)


def classifier(items, classes, skill):
    """Labels, and probabilities that lean to them."""
    labels = RANDOM.integers(classes, size=items)
    logits = RANDOM.normal(size=(items, classes))
    logits[np.arange(items), labels] += skill
    return labels, probabilities(logits)


def classifications():
    """Pairs of a case's name and its labels and scores."""
    yield "eight classes", *classifier(400, 8, 1.5)
    yield "two classes", *classifier(120, 2, 1.0)

    # No item has class 4, none is predicted to have 5, and 0 does not occur.
    labels, scores = classifier(150, 6, 1.0)
    labels = np.where(np.isin(labels, [0, 4]), 1, labels)
    scores[:, 0], scores[:, 5] = 0.0, 1e-5
    scores[:, 1] += 1 - scores.sum(axis=1)
    yield "classes that do not occur", labels, scores

    yield "ties", np.array([0, 1, 2, 2, 1]), np.array(
        [[0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [0.2, 0.4, 0.4], [0.25, 0.25, 0.5], [1, 1, 1]]
    ) / np.array([[1], [1], [1], [1], [3]])
    yield "sure and wrong", np.array([0, 1, 1, 0]), np.array(
        [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    )
    yield "one label and one prediction", np.zeros(9, int), np.tile([0.75, 0.25], (9, 1))
    yield "never right", np.array([0, 0, 1]), np.array([[0.1, 0.9], [0.2, 0.8], [0.7, 0.3]])


def regressions():
    """Pairs of a case's name and its values and predictions."""
    values = RANDOM.normal(50, 20, size=200)
    yield "noise", values, values + RANDOM.normal(1, 5, size=200)
    yield "far from zero", values + 1e6, values + 1e6 + RANDOM.normal(0, 5, size=200)
    yield "worse than the mean", values, values[::-1]
    yield "one value", np.full(5, 3.0), np.array([3.0, 3.5, 2.5, 3.0, 3.0])
    yield "one value, all right", np.full(3, 2.0), np.full(3, 2.0)


# --- What the libraries say of them -------------------------------------------


def calibration_error(confidence, right):
    """Guo et al. 2017, with bins that hold their upper edge."""
    bins = np.digitize(confidence, np.linspace(0, 1, BINS + 1)[1:-1], right=True)
    error = 0.0
    for number in range(BINS):
        inside = bins == number
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return error


def of_classifier(labels, scores):
    """The metrics of one case."""
    scores = scores.astype(np.float32).astype(np.float64)
    predicted = scores.argmax(axis=1)
    classes = np.arange(scores.shape[1])
    found = {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        "mcc": metrics.matthews_corrcoef(labels, predicted),
        "log_loss": metrics.log_loss(labels, y_proba=scores, labels=classes),
        "ece": calibration_error(scores.max(axis=1), predicted == labels),
    }
    if len(classes) > 5:
        found["top5_accuracy"] = metrics.top_k_accuracy_score(labels, scores, k=5, labels=classes)
    for average in ("macro", "weighted"):
        of = metrics.precision_recall_fscore_support(
            labels, predicted, average=average, zero_division=0
        )
        for name, value in zip(("precision", "recall", "f1"), of):
            found[f"{average}_{name}"] = value
    present = sorted(set(labels) | set(predicted))
    each = metrics.precision_recall_fscore_support(
        labels, predicted, labels=present, zero_division=0
    )
    by_class = [
        {"index": int(index), "precision": p, "recall": r, "f1": f, "support": int(s)}
        for index, p, r, f, s in zip(present, *each)
    ]
    matrix = metrics.confusion_matrix(labels, predicted, labels=classes)
    low, high = proportion_confint((labels == predicted).sum(), len(labels), method="wilson")
    return {
        "metrics": {name: float(value) for name, value in found.items()},
        "classes": by_class,
        "confusion": matrix.tolist(),
        "accuracy_interval": [float(low), float(high)],
    }


def of_regression(values, predicted):
    """The metrics of one case."""
    return {
        "mae": metrics.mean_absolute_error(values, predicted),
        "rmse": metrics.root_mean_squared_error(values, predicted),
        "r2": metrics.r2_score(values, predicted),
        "mean_error": float((predicted - values).mean()),
    }


def of_pair(first, other):
    """McNemar's test where one model alone is right on so many items."""
    exact = first + other <= 25
    found = mcnemar([[100, first], [other, 30]], exact=exact, correction=not exact)
    return {
        "only_first": first,
        "only_other": other,
        "statistic": float(found.statistic),
        "p_value": float(found.pvalue),
    }


def main():
    # Of classes that are only predicted, and of probabilities rounded to five digits.
    warnings.simplefilter("ignore")
    cases = {
        "classification": [
            {"name": name, "labels": labels.tolist(), "scores": np.round(scores, 7).tolist()}
            | of_classifier(labels, np.round(scores, 7))
            for name, labels, scores in classifications()
        ],
        "regression": [
            {"name": name, "values": values.tolist(), "predicted": predicted.tolist()}
            | {"metrics": of_regression(values, predicted)}
            for name, values, predicted in regressions()
        ],
        "mcnemar": [
            of_pair(first, other)
            for first, other in [
                (0, 0), (0, 1), (3, 3), (0, 8), (5, 20), (12, 13),
                (6, 20), (13, 13), (14, 13), (60, 20), (1000, 1100), (0, 400),
            ]
        ],
    }
    lines = {
        kind: "[\n" + ",\n".join(json.dumps(case) for case in of_kind) + "\n]"
        for kind, of_kind in cases.items()
    }
    text = ",\n".join(f'"{kind}": {of_kind}' for kind, of_kind in lines.items())
    (HERE / "evaluate.json").write_text("{\n" + text + "\n}\n", "utf-8")


if __name__ == "__main__":
    main()

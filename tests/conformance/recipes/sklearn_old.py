"""The same kinds by releases of the end of 2023, which write some of them in another way."""

from collections.abc import Callable

import lightgbm
import numpy as np
import onnxmltools
import xgboost
from common import case, main
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.cluster import KMeans
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

import tabular
from sklearn_cases import classifier, labels, regressor, targets, unsupervised

REQUIREMENTS = "classical-old"
EXPORTER = "skl2onnx-old"
SMALL = tabular.numbers(30)
# Without the option `zipmap`.
AS_IT_IS = None


def sklearn():
    for kind in ("two", "three", "strings", "one-based", "negative"):
        yield classifier(EXPORTER, f"logistic-{kind}", LogisticRegression, kind, family="linear")
        yield classifier(
            EXPORTER,
            f"forest-{kind}",
            lambda: RandomForestClassifier(3, max_depth=2, random_state=0),
            kind,
            family="trees",
            options=AS_IT_IS,
            committed=kind in ("three", "strings"),
        )
        yield classifier(
            EXPORTER,
            f"knn-{kind}",
            lambda: KNeighborsClassifier(3),
            kind,
            family="neighbours",
            X=SMALL,
            committed=kind in ("strings", "one-based"),
        )
        yield classifier(
            EXPORTER,
            f"gaussian-nb-{kind}",
            GaussianNB,
            kind,
            family="bayes",
            tolerance=1e-3,
            committed=kind == "strings",
        )
        yield classifier(
            EXPORTER,
            f"mlp-{kind}",
            lambda: MLPClassifier((6,), max_iter=60, random_state=0),
            kind,
            family="neural",
            committed=kind == "one-based",
        )
    yield classifier(
        EXPORTER,
        "hist-boosting-three",
        lambda: HistGradientBoostingClassifier(max_iter=3, max_depth=2, random_state=0),
        "three",
        family="trees",
    )
    for kind in ("two", "three", "two-strings"):
        yield classifier(EXPORTER, f"svc-{kind}", SVC, kind, family="svm", scores="network")
        yield classifier(
            EXPORTER,
            f"svc-zipmap-{kind}",
            lambda: make_pipeline(StandardScaler(), SVC()),
            kind,
            family="svm",
            options=AS_IT_IS,
            scores="network",
        )
        yield classifier(
            EXPORTER,
            f"svc-probability-{kind}",
            lambda: SVC(probability=True, random_state=0),
            kind,
            family="svm",
            committed=kind == "two",
        )
    yield classifier(
        EXPORTER,
        "linearsvc-two",
        lambda: LinearSVC(random_state=0),
        "two",
        family="svm",
        options=AS_IT_IS,
        scores="value",
    )
    yield classifier(
        EXPORTER,
        "linearsvc-three",
        lambda: LinearSVC(random_state=0),
        "three",
        family="svm",
        options=AS_IT_IS,
        scores="decision_function",
    )
    yield classifier(EXPORTER, "ovr-three", lambda: OneVsRestClassifier(LogisticRegression()), "three", family="meta")
    yield classifier(
        EXPORTER,
        "ovo-three",
        lambda: OneVsOneClassifier(LogisticRegression()),
        "three",
        family="meta",
        scores="network",
    )
    yield classifier(
        EXPORTER,
        "pair-multi-output",
        lambda: MultiOutputClassifier(LogisticRegression()),
        "pair",
        family="several outputs",
        scores="none",
    )
    yield unsupervised(
        EXPORTER, "kmeans", lambda: KMeans(3, n_init=2, random_state=0), family="clusters", scores="transform"
    )
    yield unsupervised(
        EXPORTER,
        "isolation-forest",
        lambda: IsolationForest(n_estimators=4, max_samples=16, random_state=0),
        family="outliers",
        scores="decision_function",
        convert={"target_opset": {"": 17, "ai.onnx.ml": 3}},
    )
    yield regressor(EXPORTER, "reg-ridge", Ridge, family="regression, linear")
    yield regressor(
        EXPORTER,
        "reg-forest",
        lambda: RandomForestRegressor(3, max_depth=3, random_state=0),
        family="regression, trees",
    )


def boosted(
    name: str, make: Callable, target: str, convert: Callable, task: str = "tabular-classification", **options: object
):
    def build(folder):
        X = tabular.numbers()
        model = make().fit(X, targets(target, X))
        rows = tabular.asked(X)
        rows[0, 1] = np.nan
        types = [("input", FloatTensorType([None, 4]))]
        (folder / "model.onnx").write_bytes(convert(model, initial_types=types, **options).SerializeToString())
        network = list(tabular.Network(folder / "model.onnx").run(rows).values())
        if task == "tabular-regression":
            theirs = np.asarray(model.predict(rows), np.float32)
            tabular.same(theirs, network[0], 1e-4, "predict")
            return tabular.requests(rows, [{"value": value} for value in theirs])
        theirs, own = np.asarray(model.predict_proba(rows), np.float32), labels(model.predict(rows))
        tabular.same(own, labels(network[0]), 0, "predict")
        if not isinstance(network[1], list):
            tabular.same(theirs, network[1], 1e-4, "predict_proba")
        pairs = zip(own, tabular.by_class(labels(model.classes_), theirs), strict=True)
        return tabular.requests(rows, [{"label": label, "scores": scores} for label, scores in pairs])

    library = name.split("-")[0]
    return case(EXPORTER, name, build, family="boosters", task=task, made_with=(library, "onnxmltools"), committed=True)


def boosters():
    small = {"n_estimators": 3, "max_depth": 2, "random_state": 0}
    leaves = {"num_leaves": 4, "min_child_samples": 5, "verbose": -1}
    for kind in ("two", "three"):
        yield boosted(f"xgboost-{kind}", lambda: xgboost.XGBClassifier(**small), kind, onnxmltools.convert_xgboost)
        yield boosted(
            f"lightgbm-{kind}", lambda: lightgbm.LGBMClassifier(**small, **leaves), kind, onnxmltools.convert_lightgbm
        )
    yield boosted(
        "xgboost-value",
        lambda: xgboost.XGBRegressor(**small),
        "value",
        onnxmltools.convert_xgboost,
        "tabular-regression",
    )
    yield boosted(
        "lightgbm-value",
        lambda: lightgbm.LGBMRegressor(**small, **leaves),
        "value",
        onnxmltools.convert_lightgbm,
        "tabular-regression",
    )


def cases():
    yield from sklearn()
    yield from boosters()


if __name__ == "__main__":
    main(cases)

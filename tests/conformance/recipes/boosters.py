"""XGBoost and LightGBM by onnxmltools, CatBoost by its own export, with their own answers."""

from collections.abc import Callable
from pathlib import Path

import catboost
import lightgbm
import numpy as np
import onnxmltools
import xgboost
from common import case, main
from onnxmltools.convert.common.data_types import FloatTensorType

import tabular
from sklearn_cases import labels, targets, zipped

REQUIREMENTS = "classical"
LIBRARIES = {
    "xgboost": ("xgboost", "onnxmltools"),
    "lightgbm": ("lightgbm", "onnxmltools"),
    "catboost": ("catboost",),
}


def convert(exporter: str, model: object, folder: Path, **options: object) -> None:
    path = folder / "model.onnx"
    if exporter == "catboost":
        model.save_model(str(path), format="onnx")
        return
    types = [("features", FloatTensorType([None, 4]))]
    converter = onnxmltools.convert_xgboost if exporter == "xgboost" else onnxmltools.convert_lightgbm
    path.write_bytes(converter(model, initial_types=types, **options).SerializeToString())


def data(missing: bool) -> tuple[np.ndarray, np.ndarray]:
    X = tabular.numbers()
    rows = tabular.asked(X)
    if missing:
        # The library learns where missing values go; one cell, a whole column and a whole row are asked.
        X = X.copy()
        X[np.random.default_rng(1).random(X.shape) < 0.2] = np.nan
        rows[0, 2] = rows[3, 0] = np.nan
        rows[1] = np.nan
        rows[2, 1] = np.nan
    return X, rows


def booster(
    exporter: str,
    name: str,
    make: Callable,
    target: str,
    *,
    family: str,
    missing: bool = False,
    fit: dict | None = None,
    options: dict | None = None,
    difference: str | None = None,
    predict: Callable | None = None,
    scores: bool = True,
    odd_label: bool = False,
    task: str = "tabular-classification",
    **said: object,
):
    """Classifiers have predict and predict_proba; `predict` gives a regression's values, else predict does.

    `odd_label`: ONNX Runtime answers 0 for the negative one of two classes, though it is called -1 in the same
    network; the library's label is right, and the class of the larger probability."""
    said = {"committed": True, "made_with": LIBRARIES[exporter]} | said

    def build(folder: Path) -> dict:
        X, rows = data(missing)
        model = make()
        if callable(getattr(model, "fit", None)):
            model.fit(X, targets(target, tabular.numbers()), **(fit or {}))
        convert(exporter, model, folder, **(options or {}))
        network = list(tabular.Network(folder / "model.onnx").run(rows).values())
        tolerance = said.get("tolerance", 1e-4)
        if task == "tabular-regression":
            got = np.asarray(network[0], np.float32)
            if not difference:
                theirs = np.asarray((predict or type(model).predict)(*([] if predict else [model]), rows), np.float32)
                tabular.same(theirs, got, tolerance, "predict")
                got = theirs
            expected = [{"value": value} for value in (got.reshape(-1) if got.size == len(rows) else got)]
        else:
            expected = classes(model, rows, network, tolerance)
        return {"requests": tabular.requests(rows, expected)} | ({"difference": difference} if difference else {})

    def classes(model: object, rows: np.ndarray, network: list, tolerance: float) -> list[dict]:
        known = labels(model.classes_) if hasattr(model, "classes_") else None
        if difference or predict:
            own = labels(np.asarray(network[0]).reshape(-1))
        else:
            own = labels(np.asarray(model.predict(rows)).reshape(-1))
            if not odd_label:
                tabular.same(own, labels(np.asarray(network[0]).reshape(-1)), 0, "predict")
        got = network[1]
        if isinstance(got, list):
            known = list(got[0])
            got = zipped(got, known)
        got = np.asarray(got, np.float32)
        known = known or [str(number) for number in range(got.shape[1])]
        if not difference and scores:
            theirs = np.asarray(predict(rows) if predict else model.predict_proba(rows), np.float32)
            if theirs.ndim == 1:
                theirs = np.stack([1 - theirs, theirs], 1)
            tabular.same(theirs, got, tolerance, "predict_proba")
            got = theirs
        pairs = zip(own, tabular.by_class(known, got), strict=True)
        return [{"label": label, "scores": one} if scores else {"label": label} for label, one in pairs]

    return case(exporter, name, build, family=family, task=task, **said)


KINDS = ("two", "three", "one-based", "negative", "strings", "two-strings", "shifted")


def xgboosts():
    small = {"n_estimators": 3, "max_depth": 2, "random_state": 0}
    make = lambda **more: lambda: xgboost.XGBClassifier(**small, **more)  # noqa: E731
    value = lambda **more: lambda: xgboost.XGBRegressor(**small, **more)  # noqa: E731
    regression = {"family": "regression", "task": "tabular-regression"}
    for kind in ("two", "three"):
        yield booster("xgboost", f"classifier-{kind}", make(), kind, family="classifier")
        yield booster("xgboost", f"classifier-missing-{kind}", make(), kind, family="missing values", missing=True)
        yield booster(
            "xgboost",
            f"classifier-deeper-{kind}",
            lambda: xgboost.XGBClassifier(n_estimators=20, max_depth=4),
            kind,
            family="classifier",
            committed=False,
        )
    yield booster(
        "xgboost",
        "softmax-margins",
        make(objective="multi:softmax"),
        "three",
        family="classifier",
        difference="onnxmltools passes on the margins of multi:softmax, without a softmax",
    )
    yield booster(
        "xgboost",
        "forest-two",
        lambda: xgboost.XGBRFClassifier(**small),
        "two",
        family="classifier",
        difference="onnxmltools scales an XGBRFClassifier's margins in another way",
    )
    yield booster("xgboost", "hinge", make(objective="binary:hinge"), "two", family="classifier", scores=False)
    yield booster("xgboost", "scale-pos-weight", make(scale_pos_weight=3), "two", family="classifier")
    yield booster("xgboost", "base-score", make(base_score=0.3), "two", family="classifier")
    yield booster(
        "xgboost", "early", make(learning_rate=0.3, subsample=0.8), "three", family="classifier", committed=False
    )
    for name, more, target in (
        ("squared", {}, "value"),
        ("absolute", {"objective": "reg:absoluteerror"}, "value"),
        ("huber", {"objective": "reg:pseudohubererror"}, "value"),
        ("poisson", {"objective": "count:poisson"}, "positive"),
        ("tweedie", {"objective": "reg:tweedie"}, "positive"),
        ("gamma", {"objective": "reg:gamma"}, "positive"),
        ("squared-log", {"objective": "reg:squaredlogerror"}, "positive"),
        ("quantile", {"objective": "reg:quantileerror", "quantile_alpha": 0.5}, "value"),
    ):
        yield booster("xgboost", f"regressor-{name}", value(**more), target, **regression)
    yield booster(
        "xgboost",
        "regressor-missing",
        value(),
        "value",
        missing=True,
        family="missing values",
        task="tabular-regression",
    )
    yield booster("xgboost", "regressor-base-score", value(base_score=2.5), "value", **regression)
    yield booster("xgboost", "regressor-forest", lambda: xgboost.XGBRFRegressor(**small), "value", **regression)
    yield booster(
        "xgboost",
        "regressor-logistic",
        value(objective="reg:logistic"),
        "two",
        difference="onnxmltools leaves out the sigmoid of reg:logistic",
        **regression,
    )
    yield booster(
        "xgboost",
        "regressor-two-targets",
        value(),
        "values",
        difference="onnxmltools writes one target of several",
        **regression,
    )
    for name, objective, target, classes in (
        ("binary", "binary:logistic", "two", None),
        ("softprob", "multi:softprob", "three", 3),
    ):
        yield trained_xgboost(name, objective, target, classes)
    one = trained_xgboost("regression", "reg:squarederror", "value", None, **regression)
    yield one


def trained_xgboost(name, objective, target, classes, family="booster", task="tabular-classification"):
    model = []

    def make():
        X = tabular.numbers()
        told = {"objective": objective, "max_depth": 2} | ({"num_class": classes} if classes else {})
        model[:] = [xgboost.train(told, xgboost.DMatrix(X, targets(target, X)), 3)]
        return model[0]

    predict = lambda rows: model[0].predict(xgboost.DMatrix(rows))  # noqa: E731
    return booster("xgboost", f"booster-{name}", make, target, family=family, task=task, predict=predict)


def lightgbms():
    small = {
        "n_estimators": 3,
        "max_depth": 2,
        "num_leaves": 4,
        "min_child_samples": 5,
        "verbose": -1,
        "random_state": 0,
    }
    make = lambda **more: lambda: lightgbm.LGBMClassifier(**small | more)  # noqa: E731
    value = lambda **more: lambda: lightgbm.LGBMRegressor(**small | more)  # noqa: E731
    regression = {"family": "regression", "task": "tabular-regression"}
    for kind in KINDS:
        yield booster("lightgbm", f"classifier-{kind}", make(), kind, family="classifier", options={"zipmap": False})
        yield booster("lightgbm", f"classifier-zipmap-{kind}", make(), kind, family="classifier")
    for kind in ("two", "three"):
        yield booster(
            "lightgbm",
            f"classifier-missing-{kind}",
            make(),
            kind,
            family="missing values",
            missing=True,
            options={"zipmap": False},
        )
        yield booster(
            "lightgbm",
            f"classifier-dart-{kind}",
            make(boosting_type="dart"),
            kind,
            family="classifier",
            options={"zipmap": False},
            committed=False,
        )
    yield booster(
        "lightgbm",
        "classifier-ova",
        make(objective="multiclassova"),
        "three",
        family="classifier",
        options={"zipmap": False},
        difference="onnxmltools scales one-vs-all probabilities to a sum of 1",
    )
    for name, more, target in (
        ("l2", {}, "value"),
        ("l1", {"objective": "l1"}, "value"),
        ("huber", {"objective": "huber"}, "value"),
        ("quantile", {"objective": "quantile", "alpha": 0.5}, "value"),
        ("poisson", {"objective": "poisson"}, "positive"),
        ("tweedie", {"objective": "tweedie"}, "positive"),
        ("gamma", {"objective": "gamma"}, "positive"),
    ):
        yield booster("lightgbm", f"regressor-{name}", value(**more), target, **regression)
    yield booster(
        "lightgbm",
        "regressor-missing",
        value(),
        "value",
        missing=True,
        family="missing values",
        task="tabular-regression",
    )
    yield booster(
        "lightgbm",
        "regressor-zero-missing",
        value(zero_as_missing=True),
        "value",
        missing=True,
        family="missing values",
        task="tabular-regression",
    )
    yield booster(
        "lightgbm", "ranker", lambda: lightgbm.LGBMRanker(**small), "three", fit={"group": [30, 30, 30]}, **regression
    )
    yield categories()
    yield booster(
        "lightgbm",
        "regressor-split",
        lambda: lightgbm.LGBMRegressor(**small | {"n_estimators": 12}),
        "value",
        options={"split": 4},
        **regression,
    )
    for name, objective, target, classes in (
        ("binary", "binary", "two", None),
        ("multiclass", "multiclass", "three", 3),
    ):
        yield trained_lightgbm(name, objective, target, classes)
    yield trained_lightgbm("regression", "regression", "value", None, **regression)


def categories():
    """A column of whole numbers that are names: the trees compare them for equality."""

    def build(folder):
        X = tabular.numbers()
        X[:, 3] = np.random.default_rng(2).integers(0, 5, len(X))
        wanted = targets("value", X) + 2 * (X[:, 3] == 2)
        model = lightgbm.LGBMRegressor(
            n_estimators=3,
            num_leaves=4,
            min_child_samples=5,
            verbose=-1,
            random_state=0,
            min_data_per_group=3,
            cat_smooth=1,
        )
        model.fit(X, wanted, categorical_feature=[3])
        convert("lightgbm", model, folder)
        rows = X[7:12]
        theirs = model.predict(rows).astype(np.float32)
        tabular.same(theirs, next(iter(tabular.Network(folder / "model.onnx").run(rows).values())), 1e-4, "predict")
        return tabular.requests(rows, [{"value": value} for value in theirs])

    return case(
        "lightgbm",
        "regressor-categories",
        build,
        family="regression",
        task="tabular-regression",
        made_with=LIBRARIES["lightgbm"],
        committed=True,
        tolerance=1e-4,
    )


def trained_lightgbm(name, objective, target, classes, family="booster", task="tabular-classification"):
    model = []

    def make():
        X = tabular.numbers()
        told = {"objective": objective, "max_depth": 2, "verbose": -1, "min_data_in_leaf": 5, "seed": 0}
        told |= {"num_class": classes} if classes else {}
        model[:] = [lightgbm.train(told, lightgbm.Dataset(X, targets(target, X)), 3)]
        return model[0]

    predict = lambda rows: model[0].predict(rows)  # noqa: E731
    options = {"zipmap": False} if task == "tabular-classification" else {}
    return booster(
        "lightgbm", f"booster-{name}", make, target, family=family, task=task, predict=predict, options=options
    )


def catboosts():
    small = {
        "iterations": 3,
        "depth": 2,
        "verbose": 0,
        "allow_writing_files": False,
        "random_seed": 0,
        "thread_count": 1,
    }
    make = lambda **more: lambda: catboost.CatBoostClassifier(**small, **more)  # noqa: E731
    value = lambda **more: lambda: catboost.CatBoostRegressor(**small, **more)  # noqa: E731
    regression = {"family": "regression", "task": "tabular-regression"}
    for kind in KINDS:
        yield booster("catboost", f"classifier-{kind}", make(), kind, family="classifier", odd_label=kind == "negative")
    for kind in ("two", "three"):
        yield booster("catboost", f"classifier-missing-{kind}", make(), kind, family="missing values", missing=True)
    yield booster(
        "catboost", "classifier-weights", make(class_weights=[1, 3]), "two", family="classifier", committed=False
    )
    yield booster("catboost", "cross-entropy", make(loss_function="CrossEntropy"), "two", family="classifier")
    yield booster(
        "catboost",
        "one-vs-all",
        make(loss_function="MultiClassOneVsAll"),
        "three",
        family="classifier",
        difference="CatBoost exports a softmax for one-vs-all classes, which its own predict_proba does not take",
    )
    yield booster(
        "catboost",
        "multi-label",
        make(loss_function="MultiLogloss"),
        "flags",
        family="classifier",
        difference="CatBoost exports a softmax and one label for several labels a row",
    )
    for name, loss, target in (
        ("rmse", "RMSE", "value"),
        ("mae", "MAE", "value"),
        ("quantile", "Quantile", "value"),
        ("mape", "MAPE", "positive"),
        ("huber", "Huber:delta=1", "value"),
    ):
        yield booster("catboost", f"regressor-{name}", value(loss_function=loss), target, **regression)
    for name, loss in (("poisson", "Poisson"), ("tweedie", "Tweedie:variance_power=1.5")):
        yield booster(
            "catboost",
            f"regressor-{name}",
            value(loss_function=loss),
            "positive",
            difference="CatBoost exports the logarithm of what it predicts under a Poisson or Tweedie loss",
            **regression,
        )
    yield booster(
        "catboost",
        "regressor-missing",
        value(),
        "value",
        missing=True,
        family="missing values",
        task="tabular-regression",
    )
    yield booster(
        "catboost",
        "ranker",
        lambda: catboost.CatBoostRanker(**small, loss_function="YetiRank"),
        "three",
        fit={"group_id": np.arange(90) // 30},
        **regression,
    )

    def several_targets(folder):
        """CatBoost writes trees without a target, which no runtime takes."""
        X = tabular.numbers()
        model = catboost.CatBoostRegressor(**small, loss_function="MultiRMSE").fit(X, X[:, :2])
        convert("catboost", model, folder)
        return {"refused": ["its trees name no targets", "export a network for each target"]}

    yield case(
        "catboost",
        "regressor-several-targets",
        several_targets,
        family="regression",
        task="tabular-regression",
        made_with=LIBRARIES["catboost"],
        committed=True,
    )


def cases():
    for part in (xgboosts, lightgbms, catboosts):
        yield from part()


if __name__ == "__main__":
    main(cases)

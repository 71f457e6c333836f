"""XGBoost and LightGBM as the last step of a pipeline of scikit-learn, by skl2onnx and onnxmltools' converters."""

import lightgbm
import numpy as np
import pandas
import xgboost
from common import case, main, plain
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
from skl2onnx import to_onnx, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import tabular
from sklearn_cases import labels, targets, zipped

REQUIREMENTS = "classical"
EXPORTER = "onnxmltools"
OPSET = {"": 17, "ai.onnx.ml": 3}

for kind, convert in (("XGB", convert_xgboost), ("LGBM", convert_lightgbm)):
    library = xgboost if kind == "XGB" else lightgbm
    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    update_registered_converter(
        getattr(library, f"{kind}Classifier"),
        f"Own{kind}Classifier",
        calculate_linear_classifier_output_shapes,
        convert,
        options=options,
    )
    update_registered_converter(
        getattr(library, f"{kind}Regressor"), f"Own{kind}Regressor", calculate_linear_regressor_output_shapes, convert
    )

XGB = {"n_estimators": 3, "max_depth": 2, "random_state": 0}
LGBM = XGB | {"num_leaves": 4, "min_child_samples": 5, "verbose": -1}
CLASSIFIERS = {"xgboost": lambda: xgboost.XGBClassifier(**XGB), "lightgbm": lambda: lightgbm.LGBMClassifier(**LGBM)}
REGRESSORS = {"xgboost": lambda: xgboost.XGBRegressor(**XGB), "lightgbm": lambda: lightgbm.LGBMRegressor(**LGBM)}


def pipeline(
    library,
    name,
    make,
    target,
    *,
    options=None,
    missing=False,
    scores=True,
    task="tabular-classification",
    committed=True,
    **said,
):
    def build(folder):
        X = tabular.numbers()
        rows = tabular.asked(X)
        wanted = targets(target, X)
        if missing:
            X[np.random.default_rng(1).random(X.shape) < 0.2] = np.nan
            rows[0, 1] = rows[2, 3] = np.nan
        model = make().fit(X, wanted)
        chosen = {id(model): options} if options else None
        onnx = to_onnx(model, X[:1], options=chosen, target_opset=OPSET)
        (folder / "model.onnx").write_bytes(onnx.SerializeToString())
        network = list(tabular.Network(folder / "model.onnx").run(rows).values())
        theirs = np.asarray(model.predict(rows))
        if task == "tabular-regression":
            tabular.same(theirs, network[0], 1e-4, "predict")
            return tabular.requests(rows, [{"value": value} for value in np.asarray(theirs, np.float32)])
        own = labels(theirs)
        tabular.same(theirs.astype(str), np.asarray(network[0]).astype(str), 0, "predict")
        if not scores:
            return tabular.requests(rows, [{"label": label} for label in own])
        theirs = np.asarray(model.predict_proba(rows), np.float32)
        got = network[1]
        if isinstance(got, list):
            got = zipped(got, list(got[0]))
        elif len(network) > 2:
            got = np.stack(network[1:], 1)
        tabular.same(theirs, got, 1e-4, "predict_proba")
        pairs = zip(own, tabular.by_class(labels(model.classes_), theirs), strict=True)
        return tabular.requests(rows, [{"label": label, "scores": one} for label, one in pairs])

    said = {
        "family": f"pipelines, {library}",
        "task": task,
        "made_with": (library, "scikit-learn", "skl2onnx", "onnxmltools"),
    } | said
    return case(EXPORTER, f"{library}-{name}", build, committed=committed, **said)


def passengers(library, make):
    """The pipeline of most tutorials: one-hot strings and scaled numbers, and a booster."""

    def build(folder):
        random = np.random.default_rng(0)
        table = pandas.DataFrame(
            {
                "age": random.uniform(1, 80, 80).astype(np.float32),
                "sex": random.choice(["female", "male"], 80).astype(object),
            }
        )
        table.loc[random.random(80) < 0.2, "age"] = np.nan
        wanted = ((table["sex"] == "female") & ~(table["age"] > 50)).astype(int)
        columns = ColumnTransformer(
            [
                ("number", StandardScaler(), ["age"]),
                ("text", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["sex"]),
            ]
        )
        model = make_pipeline(columns, make()).fit(table, wanted)
        kinds = [("age", FloatTensorType([None, 1])), ("sex", StringTensorType([None, 1]))]
        onnx = to_onnx(model, initial_types=kinds, options={id(model): {"zipmap": False}}, target_opset=OPSET)
        (folder / "model.onnx").write_bytes(onnx.SerializeToString())
        rows = table.iloc[:5].reset_index(drop=True)
        rows.loc[0, "age"] = np.nan
        theirs = model.predict_proba(rows).astype(np.float32)
        cells = {"age": rows["age"].to_numpy(), "sex": rows["sex"].tolist()}
        network = list(tabular.Network(folder / "model.onnx").run(cells).values())
        tabular.same(theirs, network[1], 1e-4, "predict_proba")
        expected = [
            {"label": label, "scores": one}
            for label, one in zip(labels(model.predict(rows)), tabular.by_class(["0", "1"], theirs), strict=True)
        ]
        cells = plain(cells)
        records = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
        return [
            {"json": {"features": cells}, "expected": expected},
            {"json": {"features": records}, "expected": expected},
        ]

    return case(
        EXPORTER,
        f"{library}-columns",
        build,
        family=f"pipelines, {library}",
        task="tabular-classification",
        made_with=(library, "scikit-learn", "skl2onnx", "onnxmltools"),
        committed=True,
    )


def cases():
    off = {"zipmap": False}
    for library, make in CLASSIFIERS.items():
        value = REGRESSORS[library]
        scaled = lambda make=make: make_pipeline(StandardScaler(), make())  # noqa: E731
        for kind in ("two", "three"):
            yield pipeline(library, f"scaled-{kind}", scaled, kind, options=off)
            yield pipeline(library, f"scaled-zipmap-{kind}", scaled, kind)
            yield pipeline(
                library,
                f"scaled-columns-{kind}",
                scaled,
                kind,
                options={"zipmap": "columns"},
                committed=kind == "three",
            )
        yield pipeline(library, "scaled-missing", scaled, "three", options=off, missing=True)
        yield pipeline(
            library,
            "scaled-value",
            lambda value=value: make_pipeline(StandardScaler(), value()),
            "value",
            task="tabular-regression",
        )
        # A calibrated LightGBM comes out with other numbers than the library's.
        if library == "xgboost":
            yield pipeline(
                library, "calibrated", lambda make=make: CalibratedClassifierCV(make(), cv=2), "two", options=off
            )
        yield pipeline(
            library,
            "voting",
            lambda make=make: VotingClassifier(
                [("a", make()), ("b", LogisticRegression())], voting="soft", flatten_transform=False
            ),
            "three",
            options=off,
        )
        yield pipeline(
            library,
            "stacking",
            lambda make=make: StackingClassifier(
                [("a", make()), ("b", LogisticRegression())], LogisticRegression(), cv=2
            ),
            "three",
            options=off,
        )
        yield pipeline(library, "multi-output", lambda make=make: MultiOutputClassifier(make()), "flags", scores=False)
        yield pipeline(
            library,
            "two-values",
            lambda value=value: MultiOutputRegressor(value()),
            "values",
            task="tabular-regression",
        )
        yield passengers(library, make)


if __name__ == "__main__":
    main(cases)

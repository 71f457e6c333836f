"""Pipelines over columns of their own kinds: numbers, strings, whole numbers, and cells without a value."""

import numpy as np
import pandas
from common import case, main, plain
from skl2onnx import to_onnx
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC

import tabular
from sklearn_cases import MADE_WITH, labels, zipped

REQUIREMENTS = "classical"
EXPORTER = "skl2onnx"
NUMBERS, STRINGS = ["age", "fare"], ["sex", "town"]
KINDS = {"age": FloatTensorType, "fare": FloatTensorType, "sex": StringTensorType, "town": StringTensorType}


def passengers(rows: int = 80, missing: bool = False) -> tuple[pandas.DataFrame, np.ndarray]:
    random = np.random.default_rng(0)
    table = pandas.DataFrame(
        {
            "age": np.round(random.uniform(1, 80, rows), 1).astype(np.float32),
            "fare": np.round(random.exponential(30, rows), 2).astype(np.float32),
            "sex": random.choice(["female", "male"], rows).astype(object),
            "town": random.choice(["S", "C", "Q", "Zürich"], rows).astype(object),
        }
    )
    table["sex"] = table["sex"].astype(object)
    table["town"] = table["town"].astype(object)
    chance = (table["sex"] == "female") * 2.0 + table["fare"] / 40 - table["age"] / 40 + random.normal(0, 0.7, rows)
    if missing:
        for column in NUMBERS:
            table.loc[random.random(rows) < 0.2, column] = np.nan
        for column in STRINGS:
            table.loc[random.random(rows) < 0.2, column] = ""
    return table, np.asarray(chance > 0.8).astype(np.int64)


def by_column(missing: bool = False, encoder: object = None, impute_text: bool = False) -> ColumnTransformer:
    number = make_pipeline(SimpleImputer(strategy="median"), StandardScaler()) if missing else StandardScaler()
    text = encoder or OneHotEncoder(handle_unknown="ignore")
    if impute_text:
        text = make_pipeline(SimpleImputer(strategy="most_frequent", missing_values=""), text)
    return ColumnTransformer([("number", number, NUMBERS), ("text", text, STRINGS)])


def cells(table: pandas.DataFrame) -> dict:
    return {name: table[name].tolist() for name in table}


def forms(table: pandas.DataFrame, expected: list) -> list:
    """By columns, as a list of records, and one record alone, in another order of the names."""
    columns = cells(table)
    records = [{name: columns[name][number] for name in columns} for number in range(len(table))]
    turned = {name: records[1][name] for name in reversed(records[1])}
    requests = [
        {"json": {"features": plain(columns)}, "expected": expected},
        {"json": {"features": plain(records)}, "expected": expected},
        {"json": {"features": plain([turned])}, "expected": expected[1:2]},
    ]
    if any("" in column for column in columns.values()):
        # A string that is missing may be null as well.
        turned = {name: [None if one == "" else one for one in column] for name, column in columns.items()}
        requests.append({"json": {"features": plain(turned)}, "expected": expected})
    return requests


def asked(table: pandas.DataFrame, missing: bool) -> pandas.DataFrame:
    rows = table.iloc[:4].reset_index(drop=True).copy()
    if missing:
        rows.loc[0, "age"] = np.nan
        rows.loc[1, "town"] = ""
        rows.loc[2, ["age", "fare"]] = np.nan
    else:
        # What the training had not.
        rows.loc[3, "town"] = "Übersee"
    return rows


def pipeline(
    name, make, *, names=("0", "1"), target=None, options=None, missing=False, scores="predict_proba", more=None, **said
):
    """`make` gives the last step; `names` are those of the classes 0 and 1, or none for a regression."""
    said = {"family": "columns", "task": "tabular-classification", "made_with": MADE_WITH, "committed": True} | said

    def build(folder):
        table, survived = passengers(missing=missing)
        wanted = survived if target is None else np.array(target, object)[survived].astype(str)
        regression = said["task"] == "tabular-regression"
        if regression:
            wanted = table["fare"].fillna(0) * 0.5 + survived
        model = make()
        model.fit(table, wanted)
        kinds = [(column, KINDS[column]([None, 1])) for column in table]
        chosen = {id(model): options} if options is not None else None
        onnx = to_onnx(model, initial_types=kinds, options=chosen, **(more or {}))
        (folder / "model.onnx").write_bytes(onnx.SerializeToString())
        rows = asked(table, missing)
        network = list(tabular.Network(folder / "model.onnx").run(cells(rows)).values())
        if regression:
            theirs = np.asarray(model.predict(rows), np.float32)
            tabular.same(theirs, network[0], 1e-4, "predict")
            return forms(rows, [{"value": value} for value in theirs.reshape(-1)])
        own = labels(model.predict(rows))
        tabular.same(own, labels(np.asarray(network[0]).reshape(-1)), 0, "predict")
        got = zipped(network[1], list(model.classes_)) if isinstance(network[1], list) else network[1]
        if len(network) > 2:
            got = np.stack(network[1:], 1)
        if scores != "network":
            theirs = np.asarray(getattr(model, scores)(rows), np.float32)
            tabular.same(theirs, got, 1e-4, scores)
            got = theirs
        named = labels(model.classes_)
        pairs = zip(own, tabular.by_class(named, got), strict=True)
        return forms(rows, [{"label": label, "scores": one} for label, one in pairs])

    return case(EXPORTER, f"columns-{name}", build, **said)


def plain_pipelines():
    off = {"zipmap": False}
    for options, end in ((off, ""), (None, "-zipmap")):
        yield pipeline(f"logistic{end}", lambda: make_pipeline(by_column(), LogisticRegression()), options=options)
        yield pipeline(
            f"forest{end}",
            lambda: make_pipeline(by_column(), RandomForestClassifier(3, max_depth=3, random_state=0)),
            options=options,
        )
        yield pipeline(
            f"boosting-strings{end}",
            lambda: make_pipeline(by_column(), GradientBoostingClassifier(n_estimators=3, max_depth=2, random_state=0)),
            target=("no", "yes"),
            options=options,
        )
        yield pipeline(
            f"missing{end}",
            lambda: make_pipeline(by_column(missing=True), LogisticRegression()),
            options=options,
            missing=True,
            family="columns, missing",
        )
        yield pipeline(
            f"missing-both{end}",
            lambda: make_pipeline(by_column(missing=True, impute_text=True), LogisticRegression()),
            options=options,
            missing=True,
            family="columns, missing",
        )
    yield pipeline("svc", lambda: make_pipeline(by_column(), SVC()), options=off, scores="network")
    yield pipeline(
        "columns-zipmap",
        lambda: make_pipeline(by_column(), LogisticRegression()),
        options={"zipmap": "columns"},
        scores="network",
        committed=False,
    )
    yield pipeline(
        "ordinal",
        lambda: make_pipeline(
            by_column(encoder=OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)),
            RandomForestClassifier(3, max_depth=3, random_state=0),
        ),
        options=off,
    )
    yield pipeline(
        "dense",
        lambda: make_pipeline(
            by_column(encoder=OneHotEncoder(handle_unknown="ignore", sparse_output=False)), GaussianNB()
        ),
        options=off,
        target=("no", "yes"),
        committed=False,
    )
    yield pipeline("ridge", lambda: make_pipeline(by_column(), Ridge()), task="tabular-regression")
    yield pipeline(
        "ridge-missing",
        lambda: make_pipeline(by_column(missing=True), Ridge()),
        task="tabular-regression",
        missing=True,
        family="columns, missing",
    )
    for opset in (11, 15, 21):
        yield pipeline(
            f"opset-{opset}",
            lambda: make_pipeline(by_column(), LogisticRegression()),
            options=off,
            more={"target_opset": {"": opset, "ai.onnx.ml": 1 if opset < 15 else 3}},
            committed=opset == 11,
        )


def by_kind():
    """One column of each kind of number, through the exact arithmetic of a pipeline that adds them up."""

    def mixed(folder, kinds, table, true_too):
        last = ColumnTransformer([("all", "passthrough", list(table))])
        model = make_pipeline(last, RandomForestClassifier(3, max_depth=3, random_state=0))
        wanted = (np.arange(len(table)) % 3 > 0).astype(np.int64)
        model.fit(table, wanted)
        onnx = to_onnx(
            model, initial_types=[(name, kind([None, 1])) for name, kind in kinds.items()], options={"zipmap": False}
        )
        (folder / "model.onnx").write_bytes(onnx.SerializeToString())
        rows = table.iloc[:4]
        network = list(tabular.Network(folder / "model.onnx").run(cells(rows)).values())
        theirs = np.asarray(model.predict_proba(rows), np.float32)
        tabular.same(theirs, network[1], 1e-4, "predict_proba")
        expected = [
            {"label": label, "scores": one}
            for label, one in zip(labels(model.predict(rows)), tabular.by_class(["0", "1"], theirs), strict=True)
        ]
        requests = forms(rows, expected)
        if true_too:
            # true and false for a column of numbers, and 1 and 0 for one of truths.
            turned = cells(rows)
            turned = {
                name: [(int(one) if isinstance(one, bool) else one) for one in column]
                for name, column in turned.items()
            }
            requests.append({"json": {"features": plain(turned)}, "expected": expected})
        return requests

    random = np.random.default_rng(0)
    whole = pandas.DataFrame({"year": random.integers(1950, 2020, 60), "rooms": random.integers(1, 9, 60)})
    double = pandas.DataFrame({"latitude": random.uniform(40, 60, 60), "longitude": random.uniform(-5, 20, 60)})
    truth = pandas.DataFrame({"member": random.random(60) < 0.5, "vip": random.random(60) < 0.3})
    for name, kind, table in (
        ("int64", Int64TensorType, whole),
        ("double", DoubleTensorType, double),
        ("bool", BooleanTensorType, truth),
    ):
        yield case(
            EXPORTER,
            f"columns-{name}",
            lambda folder, kind=kind, table=table, name=name: mixed(
                folder, dict.fromkeys(table, kind), table, name == "bool"
            ),
            family="columns, kinds",
            task="tabular-classification",
            made_with=MADE_WITH,
            committed=True,
        )


def cases():
    yield from plain_pipelines()
    yield from by_kind()


if __name__ == "__main__":
    main(cases)

"""Pipelines of Spark ML by onnxmltools: an input for each column, `prediction` and `probability`.

Needs Java (17); without it there are no such cases.
"""

import functools
import os
import shutil
import sys

import numpy as np
from common import case, main
from onnxmltools import convert_sparkml
from onnxmltools.convert.common.data_types import FloatTensorType, StringTensorType
from pyspark.ml import Pipeline, classification, regression
from pyspark.ml.clustering import KMeans
from pyspark.ml.feature import IndexToString, OneHotEncoder, StandardScaler, StringIndexer, VectorAssembler
from pyspark.sql import SparkSession

import tabular

REQUIREMENTS = "spark"
NUMBERS = ["age", "fare", "height", "weight"]
MADE_WITH = ("pyspark", "onnxmltools")


@functools.cache
def session():
    """Spark prints each network's coefficients and its progress; only cases that are to be written start it."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}
    settings |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    builder = SparkSession.builder.master("local[1]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("ERROR")
    return made


@functools.cache
def table():
    X, groups = tabular.numbers(), tabular.groups()
    town = np.array(["S", "C", "Q"])[np.random.default_rng(0).integers(0, 3, len(X))]
    word = np.array(["low", "middle", "high"])[groups]
    rows = [
        (*map(float, row), str(place), float(group), float(group > 0), str(name), float(value))
        for row, place, group, name, value in zip(X, town, groups, word, tabular.values(X), strict=True)
    ]
    return session().createDataFrame(rows, [*NUMBERS, "town", "three", "two", "word", "value"])


def spark(name, steps, *, text=False, scores=True, label="prediction", task="tabular-classification"):
    """`scores` False: a label and nothing else; `label`: the column that holds it."""

    def build(folder):
        # Steps can be made only once Spark runs.
        data = table()
        fitted = Pipeline(stages=steps()).fit(data)
        kinds = [(column, FloatTensorType([None, 1])) for column in NUMBERS]
        if text:
            kinds.append(("town", StringTensorType([None, 1])))
        onnx = convert_sparkml(fitted, "spark", kinds, spark_session=session())
        (folder / "model.onnx").write_bytes(onnx.SerializeToString())
        answers = fitted.transform(data).limit(12).collect()[7:12]
        columns = {column: [answer[column] for answer in answers] for column, _ in kinds}
        network = tabular.Network(folder / "model.onnx").run(columns)
        theirs = [answer[label] for answer in answers]
        tabular.same(theirs, network[label], 1e-4, label)
        if task == "tabular-regression":
            expected = [{"value": np.float32(value)} for value in theirs]
        else:
            expected = [{"label": one if isinstance(one, str) else str(int(one))} for one in theirs]
        if not scores and task == "tabular-classification":
            # A label alone is no task's answer everywhere; the tensors are right in any case.
            inputs = [
                {"name": column, "shape": [len(cells), 1], "datatype": "FP32", "data": cells}
                for column, cells in columns.items()
            ]
            requests = [{"v2": {"inputs": inputs}, "expected_v2": {label: network[label].ravel()}}]
            return {"requests": requests, "task": [task, "tensors", "tabular-regression"]}
        if task == "tabular-classification":
            chances = np.asarray([answer["probability"].toArray() for answer in answers], np.float32)
            if label == "prediction":
                tabular.same(chances, network["probability"], 1e-4, "probability")
                names = [str(number) for number in range(chances.shape[1])]
                pairs = zip(expected, tabular.by_class(names, chances), strict=True)
                expected = [one | {"scores": two} for one, two in pairs]
        records = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return [
            {"json": {"features": columns}, "expected": expected},
            {"json": {"features": records}, "expected": expected},
            {"json": {"features": records[-1:]}, "expected": expected[-1:]},
        ]

    return case("spark", name, build, family="Spark ML", task=task, made_with=MADE_WITH, committed=True)


def cases():
    if shutil.which("java") is None:
        print("spark: there is no java here, so its cases are left out", flush=True)
        return
    vector = lambda: VectorAssembler(inputCols=NUMBERS, outputCol="features")  # noqa: E731
    two = {"labelCol": "two"}
    three = {"labelCol": "three"}
    tree = {"maxDepth": 2, "seed": 0}
    yield spark("logistic-two", lambda: [vector(), classification.LogisticRegression(maxIter=5, **two)])
    yield spark("tree-three", lambda: [vector(), classification.DecisionTreeClassifier(**tree, **three)])
    yield spark("forest-three", lambda: [vector(), classification.RandomForestClassifier(numTrees=3, **tree, **three)])
    yield spark("boosting-two", lambda: [vector(), classification.GBTClassifier(maxIter=2, **tree, **two)])
    yield spark(
        "perceptron-three",
        lambda: [vector(), classification.MultilayerPerceptronClassifier(layers=[4, 5, 3], maxIter=8, seed=0, **three)],
    )
    yield spark("margins-two", lambda: [vector(), classification.LinearSVC(maxIter=5, **two)], scores=False)
    yield spark("kmeans", lambda: [vector(), KMeans(k=3, seed=0)], scores=False)
    yield spark(
        "scaled-two",
        lambda: [
            vector(),
            StandardScaler(inputCol="features", outputCol="scaled", withMean=True),
            classification.LogisticRegression(maxIter=5, featuresCol="scaled", **two),
        ],
    )
    yield spark(
        "names-three",
        lambda: [
            vector(),
            classification.DecisionTreeClassifier(**tree, **three),
            IndexToString(inputCol="prediction", outputCol="name", labels=["low", "middle", "high"]),
        ],
        label="name",
    )
    yield spark(
        "columns-two",
        lambda: [
            StringIndexer(inputCol="town", outputCol="number", handleInvalid="error"),
            OneHotEncoder(inputCols=["number"], outputCols=["place"], dropLast=False),
            VectorAssembler(inputCols=[*NUMBERS, "place"], outputCol="features"),
            classification.LogisticRegression(maxIter=5, **two),
        ],
        text=True,
    )
    value = {"labelCol": "value"}
    for name, make in {
        "value-linear": lambda: regression.LinearRegression(**value),
        "value-forest": lambda: regression.RandomForestRegressor(numTrees=3, **tree, **value),
    }.items():
        yield spark(name, lambda make=make: [vector(), make()], task="tabular-regression")


if __name__ == "__main__":
    main(cases)

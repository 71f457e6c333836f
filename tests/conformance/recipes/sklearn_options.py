"""What people ask skl2onnx for beside the defaults: names, types, operators, outputs, labels."""

import json

import numpy as np
import pandas
from common import case, main, plain
from onnxruntime.transformers.float16 import convert_float_to_float16
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import LabelEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import tabular
from sklearn_cases import MADE_WITH, classifier, labels, targets, write

REQUIREMENTS = "classical"
EXPORTER = "skl2onnx"
OFF = {"zipmap": False}
SMALL = tabular.numbers(30)


def odd_labels():
    for kind in ("floats", "around-zero", "large", "odd-strings"):
        for options, end in ((OFF, ""), (None, "-zipmap")):
            yield classifier(
                EXPORTER, f"labels-{kind}-logistic{end}", LogisticRegression, kind, family="labels", options=options
            )
        yield classifier(
            EXPORTER, f"labels-{kind}-knn", lambda: KNeighborsClassifier(3), kind, family="labels", X=SMALL
        )
        yield classifier(
            EXPORTER,
            f"labels-{kind}-svc",
            SVC,
            kind,
            family="labels",
            scores="network",
            committed=kind == "odd-strings",
        )
        # Larger numbers than INT32 get lost in these two.
        if kind == "large":
            continue
        yield classifier(
            EXPORTER, f"labels-{kind}-nb", GaussianNB, kind, family="labels", tolerance=1e-3, committed=False
        )
        yield classifier(
            EXPORTER,
            f"labels-{kind}-forest",
            lambda: RandomForestClassifier(3, max_depth=2, random_state=0),
            kind,
            family="labels",
        )
        yield classifier(
            EXPORTER,
            f"labels-{kind}-mlp",
            lambda: MLPClassifier((6,), max_iter=60, random_state=0),
            kind,
            family="labels",
            committed=kind == "odd-strings",
        )


def outputs():
    yield classifier(
        EXPORTER,
        "class-labels-three",
        LogisticRegression,
        "three",
        family="outputs",
        options={"zipmap": False, "output_class_labels": True},
    )
    yield classifier(
        EXPORTER,
        "class-labels-strings",
        LogisticRegression,
        "strings",
        family="outputs",
        options={"zipmap": False, "output_class_labels": True},
    )
    for kind in ("three", "strings", "two"):
        types = [
            ("predicted", StringTensorType([None]) if kind == "strings" else Int64TensorType([None])),
            ("chances", FloatTensorType([None, 2 if kind == "two" else 3])),
        ]
        yield classifier(
            EXPORTER, f"renamed-{kind}", LogisticRegression, kind, family="outputs", convert={"final_types": types}
        )
    # Without the operators of ai.onnx.ml the names lie in an array of the graph.
    for kind in ("two", "three", "strings", "one-based", "two-strings", "negative"):
        yield classifier(
            EXPORTER,
            f"no-ml-operators-{kind}",
            LogisticRegression,
            kind,
            family="operators",
            convert={"black_op": {"LinearClassifier", "Normalizer", "Scaler"}},
        )
        yield classifier(
            EXPORTER,
            f"no-ml-operators-scaled-{kind}",
            lambda: make_pipeline(StandardScaler(), LogisticRegression()),
            kind,
            family="operators",
            convert={"black_op": {"LinearClassifier", "Normalizer", "Scaler"}},
            committed=False,
        )
    for opset in (9, 10, 11, 12, 13, 14, 15, 17, 19, 21):
        versions = {"": opset, "ai.onnx.ml": 1 if opset < 15 else 3}
        for name, make in {
            "logistic": LogisticRegression,
            "forest": lambda: RandomForestClassifier(3, max_depth=2, random_state=0),
            "mlp": lambda: MLPClassifier((6,), max_iter=60, random_state=0),
        }.items():
            yield classifier(
                EXPORTER,
                f"opset-{opset}-{name}",
                make,
                "strings",
                family="opsets",
                convert={"target_opset": versions},
                committed=opset in (9, 21),
            )


def types():
    double, whole = tabular.numbers().astype(np.float64), np.round(tabular.numbers() * 10).astype(np.int64)
    for name, make in {
        "logistic": LogisticRegression,
        "forest": lambda: RandomForestClassifier(3, max_depth=2, random_state=0),
        "mlp": lambda: MLPClassifier((6,), max_iter=60, random_state=0),
        "nb": GaussianNB,
    }.items():
        yield classifier(EXPORTER, f"double-{name}", make, "strings", family="types", X=double, tolerance=1e-4)
        yield classifier(EXPORTER, f"int64-{name}", make, "one-based", family="types", X=whole, tolerance=1e-3)
    yield half("half-mlp", "three", False)
    yield half("half-mlp-io", "three", True)


def half(name, kind, keep):
    """FP16 by ONNX Runtime's converter, with inputs and outputs of FP16 or of FP32."""

    def build(folder):
        X = tabular.numbers().astype(np.float16).astype(np.float32)
        model = MLPRegressor(hidden_layer_sizes=(6,), max_iter=200, random_state=0).fit(X, targets("value", X))
        onnx = convert_float_to_float16(to_onnx(model, X[:1]), keep_io_types=keep)
        (folder / "model.onnx").write_bytes(onnx.SerializeToString())
        rows = X[7:12]
        return tabular.requests(rows, [{"value": value} for value in model.predict(rows)])

    return case(
        EXPORTER,
        name,
        build,
        family="half precision",
        task="tabular-regression",
        made_with=(*MADE_WITH, "onnxruntime"),
        tolerance=1e-2,
        committed=True,
    )


def by_rows(name, make, kind, example, *, family, rows=None, beside=None, task="tabular-classification", **options):
    def build(folder):
        X = tabular.numbers()
        model = make().fit(X, targets(kind, X))
        chosen = {id(model): OFF} if task == "tabular-classification" else None
        (folder / "model.onnx").write_bytes(
            to_onnx(model, initial_types=[("float_input", example)], options=chosen).SerializeToString()
        )
        asked = tabular.asked(X)
        if task == "tabular-regression":
            return tabular.requests(asked, [{"value": value} for value in np.asarray(model.predict(asked), np.float32)])
        pairs = zip(
            labels(model.predict(asked)),
            tabular.by_class(labels(model.classes_), model.predict_proba(asked).astype(np.float32)),
            strict=True,
        )
        return tabular.requests(asked, [{"label": label, "scores": scores} for label, scores in pairs])

    return case(EXPORTER, name, build, family=family, task=task, made_with=MADE_WITH, committed=True)


def fixed():
    """Shapes of exactly one row, as the examples of many blogs have them: several rows run one by one."""
    one = FloatTensorType([1, 4])
    yield by_rows("one-row-logistic", LogisticRegression, "three", one, family="one row")
    yield by_rows(
        "one-row-forest",
        lambda: RandomForestClassifier(3, max_depth=2, random_state=0),
        "strings",
        one,
        family="one row",
    )
    yield by_rows(
        "one-row-mlp", lambda: MLPClassifier((6,), max_iter=60, random_state=0), "three", one, family="one row"
    )
    yield by_rows("one-row-nb", GaussianNB, "one-based", one, family="one row")
    yield by_rows("one-row-knn", lambda: KNeighborsClassifier(3), "two-strings", one, family="one row")
    yield by_rows("one-row-ridge", Ridge, "value", one, family="one row", task="tabular-regression")
    yield by_rows(
        "open-columns-ridge",
        Ridge,
        "value",
        FloatTensorType([None, None]),
        family="open shapes",
        task="tabular-regression",
    )
    yield by_rows(
        "open-columns-logistic", LogisticRegression, "three", FloatTensorType([None, None]), family="open shapes"
    )


def frames():
    """to_onnx(model, table) makes an input of each column, by its name, whatever is in it."""

    def build(folder):
        names = ["sepal length (cm)", "größe/m", "a.b", "features"]
        X = pandas.DataFrame(tabular.numbers(), columns=names)
        model = make_pipeline(ColumnTransformer([("all", StandardScaler(), names)]), LogisticRegression())
        model.fit(X, targets("strings", tabular.numbers()))
        (folder / "model.onnx").write_bytes(to_onnx(model, X[:1], options={id(model): OFF}).SerializeToString())
        rows = X.iloc[7:11]
        pairs = zip(
            labels(model.predict(rows)),
            tabular.by_class(labels(model.classes_), model.predict_proba(rows).astype(np.float32)),
            strict=True,
        )
        expected = [{"label": label, "scores": scores} for label, scores in pairs]
        # The inputs keep the columns' names, or what skl2onnx makes of them.
        inputs = [one.name for one in tabular.Network(folder / "model.onnx").inputs]
        cells = {name: plain(rows[column].to_numpy()) for name, column in zip(inputs, names, strict=True)}
        records = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
        return [
            {"json": {"features": cells}, "expected": expected},
            {"json": {"features": records}, "expected": expected},
        ]

    yield case(
        EXPORTER,
        "columns-odd-names",
        build,
        family="columns",
        task="tabular-classification",
        made_with=MADE_WITH,
        committed=True,
    )


def text_and_numbers():
    """A column of text beside columns of numbers."""

    def build(folder):
        random = np.random.default_rng(0)
        words = np.array(["great film", "dull film", "late train", "good music"])
        table = pandas.DataFrame(
            {
                "review": words[random.integers(0, 4, 60)].astype(object),
                "stars": random.integers(1, 6, 60).astype(np.float32),
            }
        )
        wanted = np.where((table["review"] == "dull film") | (table["stars"] < 3), "bad", "good")
        columns = ColumnTransformer(
            [("text", TfidfVectorizer(lowercase=False), "review"), ("number", StandardScaler(), ["stars"])]
        )
        model = make_pipeline(columns, LogisticRegression()).fit(table, wanted)
        kinds = [("review", StringTensorType([None, 1])), ("stars", FloatTensorType([None, 1]))]
        (folder / "model.onnx").write_bytes(
            to_onnx(model, initial_types=kinds, options={id(model): OFF}).SerializeToString()
        )
        rows = table.iloc[:4]
        theirs = model.predict_proba(rows).astype(np.float32)
        cells = {"review": rows["review"].tolist(), "stars": rows["stars"].to_numpy()}
        network = list(tabular.Network(folder / "model.onnx").run(cells).values())
        tabular.same(theirs, network[1], 1e-4, "predict_proba")
        pairs = zip(labels(model.predict(rows)), tabular.by_class(labels(model.classes_), theirs), strict=True)
        expected = [{"label": label, "scores": scores} for label, scores in pairs]
        cells = plain(cells)
        records = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
        return [
            {"json": {"features": cells}, "expected": expected},
            {"json": {"features": records}, "expected": expected},
        ]

    yield case(
        EXPORTER,
        "columns-text-and-numbers",
        build,
        family="columns",
        task="tabular-classification",
        made_with=MADE_WITH,
        committed=True,
    )


def noisy():
    """SVC's predict and predict_proba may disagree, and a threshold of one's own is no 0.5: predict is the label."""

    def build(folder):
        random = np.random.default_rng(9)
        X = random.normal(0, 1, (60, 4)).astype(np.float32)
        y = (X[:, 0] + random.normal(0, 2, 60) > 0.8).astype(np.int64)
        model = SVC(probability=True, random_state=0).fit(X, y)
        write(folder, model, X[:1], OFF, None)
        own, chances = model.predict(X), model.predict_proba(X).astype(np.float32)
        odd = np.flatnonzero(own != chances.argmax(1))
        if not len(odd):
            raise AssertionError("no row where they disagree")
        rows = X[np.concatenate([odd[:4], [0, 1]])]
        network = list(tabular.Network(folder / "model.onnx").run(rows).values())
        tabular.same(model.predict(rows), network[0], 0, "predict")
        chances = model.predict_proba(rows).astype(np.float32)
        tabular.same(chances, network[1], 1e-3, "predict_proba")
        pairs = zip(labels(model.predict(rows)), tabular.by_class(["0", "1"], chances), strict=True)
        return tabular.requests(rows, [{"label": label, "scores": scores} for label, scores in pairs])

    yield case(
        EXPORTER,
        "svc-probability-noisy",
        build,
        family="svm",
        task="tabular-classification",
        made_with=MADE_WITH,
        tolerance=1e-3,
        committed=True,
    )


def alone():
    """Parts that no task fits: the strings and numbers that they give, through /v2."""
    tensors = [
        "tensors",
        "feature-extraction",
        "tabular-regression",
        "tabular-classification",
        "text-classification",
        "text-regression",
    ]

    def asked(folder, rows, kind):
        network = tabular.Network(folder / "model.onnx")
        got = network.run(rows)
        data = {
            "name": network.inputs[0].name,
            "shape": list(np.shape(rows)),
            "datatype": kind,
            "data": plain(np.asarray(rows).ravel()),
        }
        return [
            {
                "v2": {"inputs": [data]},
                "expected_v2": {name: plain(np.asarray(one).ravel()) for name, one in got.items()},
            }
        ]

    def ordinal(folder):
        words = np.array([["red"], ["green"], ["blue"]], object)
        (folder / "model.onnx").write_bytes(
            to_onnx(
                OrdinalEncoder().fit(words), initial_types=[("word", StringTensorType([None, 1]))]
            ).SerializeToString()
        )
        return asked(folder, words, "BYTES")

    def encoder(folder):
        words = np.array(["red", "green", "blue"], object)
        (folder / "model.onnx").write_bytes(
            to_onnx(LabelEncoder().fit(words), initial_types=[("word", StringTensorType([None]))]).SerializeToString()
        )
        return asked(folder, words, "BYTES")

    def tfidf(folder):
        texts = ["a dull film", "a warm film", "music"]
        model = TfidfVectorizer(lowercase=False).fit(texts)
        (folder / "model.onnx").write_bytes(
            to_onnx(model, initial_types=[("text", StringTensorType([None, 1]))]).SerializeToString()
        )
        return asked(folder, np.array(texts, object).reshape(-1, 1), "BYTES")

    def deviation(folder):
        """The mean and, beside it, its deviation."""
        X = SMALL.astype(np.float64)
        model = GaussianProcessRegressor(RBF() + WhiteKernel(0.1), random_state=0).fit(X, targets("value", X))
        write(folder, model, X[:1], {"return_std": True}, None)
        rows = tabular.asked(X)
        requests = asked(folder, rows, "FP64")
        mean, std = model.predict(rows, return_std=True)
        requests[0]["expected_v2"] = {"GPmean": mean, "GPcovstd": std}
        return {"requests": requests, "tolerance": 1e-5}

    for name, build in {
        "gaussian-process-deviation": deviation,
        "ordinal": ordinal,
        "label-encoder": encoder,
        "tfidf": tfidf,
    }.items():
        yield case(EXPORTER, f"only-{name}", build, family="parts", task=tensors, made_with=MADE_WITH, committed=True)

    def dictionary(folder):
        model = make_pipeline(DictVectorizer(sparse=False), LogisticRegression())
        model.fit([{"a": 1, "b": 2}, {"a": 3}, {"b": 5}, {"a": 2, "b": 1}], [0, 1, 0, 1])
        from skl2onnx.common.data_types import DictionaryType

        kinds = [("cells", DictionaryType(StringTensorType([1]), FloatTensorType([])))]
        (folder / "model.onnx").write_bytes(
            to_onnx(model, initial_types=kinds, options={id(model): OFF}).SerializeToString()
        )
        return {"says": ["is no tensor"], "requests": []}

    yield case(
        EXPORTER, "only-dictionary", dictionary, family="parts", task="tensors", made_with=MADE_WITH, committed=True
    )


def named():
    """Names in labels.txt, config.json or model.toml, for classes that the graph calls by numbers."""
    names = ["red", "green", "blue"]

    def beside(form, count=3):
        def write_names(folder, model):
            if form == "labels.txt":
                (folder / form).write_text("\n".join(names[:count]) + "\n")
            elif form == "config.json":
                (folder / form).write_text(
                    json.dumps({"id2label": {str(number): name for number, name in enumerate(names[:count])}})
                )
            else:
                (folder / form).write_text(f"labels = {json.dumps(names[:count])}\n")

        return write_names

    models = {
        "logistic": (LogisticRegression, "three", {}),
        "logistic-zipmap": (LogisticRegression, "three", {"options": None}),
        "one-based": (LogisticRegression, "one-based", {}),
        "shifted": (LogisticRegression, "shifted", {}),
        "forest": (lambda: RandomForestClassifier(3, max_depth=2, random_state=0), "three", {}),
        "knn": (lambda: KNeighborsClassifier(3), "three", {"X": SMALL}),
        "knn-one-based": (lambda: KNeighborsClassifier(3), "one-based", {"X": SMALL}),
        "nb": (GaussianNB, "three", {"tolerance": 1e-3}),
        "mlp": (lambda: MLPClassifier((6,), max_iter=60, random_state=0), "three", {}),
        "svc": (SVC, "three", {"scores": "network"}),
        "svc-two": (SVC, "two", {"scores": "network"}),
        "svc-negative": (SVC, "negative", {"scores": "network"}),
    }
    for name, (make, kind, more) in models.items():
        forms = ("labels.txt", "config.json", "model.toml") if name == "logistic" else ("labels.txt",)
        count = 2 if kind in ("two", "negative") else 3
        for form in forms:
            made = classifier(
                EXPORTER,
                f"named-{name}-{form.split('.')[0]}",
                make,
                kind,
                family="names beside",
                beside=beside(form, count),
                **more,
            )
            made.build = renamed(made.build, names[:count], kind)
            yield made


def renamed(build, names, kind):
    def rename(folder):
        made = build(folder)
        classes = {"one-based": "1 2 3", "shifted": "10 20 35", "negative": "-1 1"}.get(kind, "0 1 2").split()
        name = dict(zip(classes, names, strict=False))
        for request in made["requests"]:
            request["expected"] = [
                {"label": name[one["label"]], "scores": {name[key]: score for key, score in one["scores"].items()}}
                for one in request["expected"]
            ]
        return made

    return rename


def cut():
    """One output kept of two, as select_model_inputs_outputs cuts a network down."""

    def only(output, kind):
        def build(folder):
            X = tabular.numbers()
            model = LogisticRegression().fit(X, targets(kind, X))
            onnx = select_model_inputs_outputs(to_onnx(model, X[:1], options={id(model): OFF}), outputs=[output])
            (folder / "model.onnx").write_bytes(onnx.SerializeToString())
            rows = tabular.asked(X)
            own, chances = labels(model.predict(rows)), model.predict_proba(rows).astype(np.float32)
            if output == "label":
                # A label alone is no task's answer everywhere; the tensors are right in any case.
                data = {"name": "X", "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel()}
                requests = [{"v2": {"inputs": [data]}, "expected_v2": {"label": model.predict(rows)}}]
                return {"requests": requests, "task": ["tabular-classification", "tensors"]}
            pairs = zip(own, tabular.by_class(labels(model.classes_), chances), strict=True)
            return tabular.requests(rows, [{"label": label, "scores": scores} for label, scores in pairs])

        return case(
            EXPORTER,
            f"cut-{output}-{kind}",
            build,
            family="outputs",
            task="tabular-classification",
            made_with=MADE_WITH,
            committed=True,
        )

    for kind in ("two", "strings", "one-based"):
        yield only("probabilities", kind)
    yield only("label", "strings")
    yield only("label", "three")


def more_meta():
    parts = lambda: [("one", LogisticRegression()), ("two", DecisionTreeClassifier(max_depth=2, random_state=0))]  # noqa: E731
    yield classifier(
        EXPORTER,
        "voting-weights",
        lambda: VotingClassifier(parts(), voting="soft", weights=np.array([3, 1]), flatten_transform=False),
        "strings",
        family="meta",
    )
    yield classifier(
        EXPORTER,
        "stacking-passthrough",
        lambda: StackingClassifier(parts(), LogisticRegression(), cv=3, passthrough=True),
        "one-based",
        family="meta",
    )
    yield classifier(
        EXPORTER,
        "scaled-knn",
        lambda: make_pipeline(StandardScaler(), KNeighborsClassifier(3)),
        "strings",
        family="meta",
        X=SMALL,
    )
    yield classifier(
        EXPORTER,
        "scaled-mlp",
        lambda: make_pipeline(StandardScaler(), MLPClassifier((6,), max_iter=60, random_state=0)),
        "shifted",
        family="meta",
    )


def cases():
    for part in (odd_labels, outputs, types, fixed, frames, text_and_numbers, noisy, alone, named, cut, more_meta):
        yield from part()


if __name__ == "__main__":
    main(cases)

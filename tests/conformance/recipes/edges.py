"""Requests at the edge of what a model takes: exact numbers, missing cells, wrong forms."""

import hashlib

import numpy as np
from common import case, main, write_json
from onnx import helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

import tabular
from sklearn_cases import MADE_WITH, labels, targets
from small_networks import BOOL, DOUBLE, FLOAT, INT64, STRING, classifier, graph

REQUIREMENTS = "classical"


def refused(rows, status, *words, query=None):
    request = {"json": {"features": rows}, "expected": {"error": status, "says": list(words)}}
    return request | ({"query": query} if query else {})


def answered(rows, *values):
    return {"json": {"features": rows}, "expected": [{"value": value} for value in values]}


def edge(name, build, task="tabular-regression", **said):
    return case("onnx", name, build, family="edges of requests", task=task, made_with=("onnx",), committed=True, **said)


def modulo(folder):
    """x mod 1000 tells whether every digit has come."""
    thousand = helper.make_tensor("thousand", INT64, [1], [1000])
    nodes = [
        helper.make_node("Mod", ["number", "thousand"], ["rest"]),
        helper.make_node("Add", ["rest", "more"], ["sum"]),
        helper.make_node("Cast", ["sum"], ["variable"], to=FLOAT),
    ]
    inputs = [("number", INT64, ["N", 1]), ("more", INT64, ["N", 1])]
    graph(folder, nodes, inputs, [("variable", FLOAT, ["N", 1])], [thousand])
    return [
        answered({"number": [9007199254740993, 9007199254740997, -9007199254740993], "more": [0, 0, 1]}, 993, 997, 8),
        answered([{"number": 9223372036854775807, "more": 0}, {"more": True, "number": -1}], 807, 1000),
        answered({"number": [2.0], "more": [3.0]}, 5),
        refused({"number": [9223372036854775808], "more": [0]}, 422, "number"),
        refused({"number": [1e300], "more": [0]}, 422, "number"),
        refused({"number": [2.5], "more": [0]}, 422, "number"),
        refused({"number": [None], "more": [0]}, 422, "number"),
        refused({"number": ["twelve"], "more": [0]}, 422, "number"),
    ]


def rows_of_int64(folder):
    """The same of rows without names."""
    thousand = helper.make_tensor("thousand", INT64, [1], [1000])
    axis = helper.make_tensor("axis", INT64, [1], [1])
    nodes = [
        helper.make_node("Mod", ["features", "thousand"], ["rest"]),
        helper.make_node("ReduceSum", ["rest", "axis"], ["sum"], keepdims=1),
        helper.make_node("Cast", ["sum"], ["variable"], to=FLOAT),
    ]
    graph(folder, nodes, [("features", INT64, ["N", 2])], [("variable", FLOAT, ["N", 1])], [thousand, axis])
    return [
        answered([[9007199254740993, 0], [9223372036854775807, 1]], 993, 808),
        answered([[True, 3.0]], 4),
        refused([[1, 9223372036854775808]], 422, "features[0][1]"),
        refused([[1, 2], [2.5, 1]], 422, "features[1][0]"),
        refused([[None, 1]], 422, "features[0][0]"),
    ]


def int64_answers(folder):
    """A regression of INT64 answers with every digit as well."""
    one = helper.make_tensor("one", INT64, [1], [1])
    graph(
        folder,
        [helper.make_node("Add", ["number", "one"], ["variable"])],
        [("number", INT64, ["N", 1])],
        [("variable", INT64, ["N", 1])],
        [one],
    )
    return [answered([[9007199254740992], [41]], 9007199254740993, 42)]


def double(folder):
    """1 + 1e-12 is no FP32."""
    graph(
        folder,
        [helper.make_node("ReduceSum", ["features", "axis"], ["variable"], keepdims=1)],
        [("features", DOUBLE, ["N", 3])],
        [("variable", DOUBLE, ["N", 1])],
        [helper.make_tensor("axis", INT64, [1], [1])],
    )
    return [answered([[1.0, 1e-12, 0], [1e300, 1e300, 0]], 1.000000000001, 2e300), answered([[0.1, 0.2, 0.3]], 0.6)]


def reciprocal(folder):
    """Answers NaN and infinity, which JSON has not: the cell is named, and the neighbours are told nothing wrong."""
    graph(
        folder,
        [helper.make_node("ReduceSum", ["features", "axis"], ["variable"], keepdims=1)],
        [("features", FLOAT, ["N", 2])],
        [("variable", FLOAT, ["N", 1])],
        [helper.make_tensor("axis", INT64, [1], [1])],
    )
    return [
        answered([[1, 2], [3, 4]], 3, 7),
        refused([[1, 2], [3, None]], 422, "features[1][1]"),
        refused([[None, 2]], 422, "features[0][0]"),
        answered([[1.5, True], [False, 2]], 2.5, 2),
    ]


def columns(folder):
    """age + fare, and whether a member: columns of three kinds."""
    nodes = [
        helper.make_node("Cast", ["member"], ["one"], to=FLOAT),
        helper.make_node("Cast", ["fare"], ["two"], to=FLOAT),
        helper.make_node("Add", ["age", "one"], ["three"]),
        helper.make_node("Add", ["three", "two"], ["variable"]),
    ]
    graph(
        folder,
        nodes,
        [("age", FLOAT, ["N", 1]), ("fare", INT64, ["N", 1]), ("member", BOOL, ["N", 1])],
        [("variable", FLOAT, ["N", 1])],
    )
    whole = {"age": 1.5, "fare": 10, "member": True}
    return [
        answered({"age": [1.5, 2], "fare": [10, 20], "member": [True, False]}, 12.5, 22),
        answered([whole, {"member": False, "age": 2, "fare": 20}], 12.5, 22),
        answered([whole | {"member": 1}, whole | {"member": 0}], 12.5, 11.5),
        refused([whole | {"height": 3}], 422, "height"),
        refused({"age": [1], "fare": [1], "member": [True], "height": [2]}, 422, "height"),
        refused([{"age": 1, "fare": 2}], 422, "member"),
        refused([whole, {"age": 1, "fare": 2}], 422, "member"),
        refused({"age": [1, 2], "fare": [1], "member": [True, True]}, 422, "fare"),
        refused([whole | {"fare": None}], 422, "fare"),
        refused([whole | {"member": None}], 422, "member"),
        refused([whole | {"age": "old"}], 422, "age"),
        refused([whole | {"member": "yes"}], 422, "member"),
        refused([whole | {"member": 2}], 422, "member"),
        refused([], 422, "features"),
    ]


def strings(folder):
    """A table of three words, the empty one among them; others are 0."""
    node = helper.make_node(
        "LabelEncoder",
        ["word"],
        ["variable"],
        domain="ai.onnx.ml",
        keys_strings=["", "red", "blau grün"],
        values_floats=[7.0, 1.0, 2.0],
        default_float=0.0,
    )
    graph(folder, [node], [("word", STRING, ["N", 1])], [("variable", FLOAT, ["N", 1])])
    return [
        {
            "json": {"inputs": ["red", "", "blau grün", "?"]},
            "expected": [{"value": 1}, {"value": 7}, {"value": 2}, {"value": 0}],
        },
    ]


def string_columns(folder):
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["colour"],
            ["one"],
            domain="ai.onnx.ml",
            keys_strings=["", "red", "blau grün"],
            values_floats=[7.0, 1.0, 2.0],
            default_float=0.0,
        ),
        helper.make_node("Add", ["one", "size"], ["variable"]),
    ]
    graph(folder, nodes, [("colour", STRING, ["N", 1]), ("size", FLOAT, ["N", 1])], [("variable", FLOAT, ["N", 1])])
    return [
        answered({"colour": ["red", "", "blau grün", "?"], "size": [10, 20, 30, 40]}, 11, 27, 32, 40),
        answered({"colour": ["red", None], "size": [10, 20]}, 11, 27),
        answered([{"colour": None, "size": 1}, {"size": 2, "colour": "red"}], 8, 3),
        refused([{"colour": "red", "size": None}], 422, "size"),
        refused([{"colour": "red", "size": "large"}], 422, "size"),
        refused([{"colour": ["red"], "size": 1}], 422, "colour"),
    ]


def shapes_of_rows(folder):
    rows, expected = classifier(folder)
    (folder / "model.toml").write_text('feature_names = ["a", "b", "c", "d"]\n')
    named = [dict(zip("abcd", map(float, row), strict=True)) for row in rows]
    one = list(map(float, rows[0]))
    return tabular.requests(rows, expected) + [
        {"json": {"features": named}, "expected": expected},
        {
            "json": {
                "features": {name: [float(value) for value in rows[:, number]] for number, name in enumerate("abcd")}
            },
            "expected": expected,
        },
        {"json": {"inputs": [one]}, "expected": expected[:1]},
        refused([one[:3]], 422, "4"),
        refused([one, one + [1.0]], 422, "4"),
        refused([one, "text"], 422, "features[1]"),
        refused([named[0], {"a": 1, "b": 2, "c": 3}], 422, "d"),
        refused([named[0] | {"e": 1}], 422, "e"),
        refused([one[:1] + [None] + one[2:]], 422, "features[0][1]"),
        refused([one, one[:3] + [None]], 422, "features[1][3]"),
        refused([[[1, 2], 3, 4, 5]], 422, "features[0][0]"),
        refused([[1e39, 0, 0, 0]], 422, "features[0][0]"),
    ]


def labels_beside(folder):
    rows, expected = classifier(folder)
    names = ["red", "green", "blue"]
    (folder / "labels.txt").write_text("\n".join(names) + "\n")
    return tabular.requests(rows, by_name(expected, names))


def nocl_with_labels(folder):
    """nocl: the names are in no graph, and the label output is a number."""
    X = tabular.numbers()
    model = LogisticRegression().fit(X, targets("strings", X))
    options = {id(model): {"zipmap": False, "nocl": True}}
    (folder / "model.onnx").write_bytes(to_onnx(model, X[:1], options=options).SerializeToString())
    (folder / "labels.txt").write_text("\n".join(model.classes_) + "\n")
    rows = tabular.asked(X)
    pairs = zip(
        labels(model.predict(rows)),
        tabular.by_class(labels(model.classes_), np.asarray(model.predict_proba(rows), np.float32)),
        strict=True,
    )
    return tabular.requests(rows, [{"label": label, "scores": scores} for label, scores in pairs])


def nocl_alone(folder):
    X = tabular.numbers()
    model = LogisticRegression().fit(X, targets("strings", X))
    options = {id(model): {"zipmap": False, "nocl": True}}
    (folder / "model.onnx").write_bytes(to_onnx(model, X[:1], options=options).SerializeToString())
    rows = tabular.asked(X)
    numbers = [str(list(model.classes_).index(one)) for one in model.predict(rows)]
    pairs = zip(
        numbers, tabular.by_class(["0", "1", "2"], np.asarray(model.predict_proba(rows), np.float32)), strict=True
    )
    return tabular.requests(rows, [{"label": label, "scores": scores} for label, scores in pairs])


def many_classes(folder):
    """120 classes that are numbers with gaps."""
    X = np.arange(240, dtype=np.float32).reshape(-1, 1) / 4
    X = np.hstack([X, X % 3])
    model = DecisionTreeClassifier(random_state=0).fit(X, np.repeat(np.arange(120) * 7 + 100, 2))
    (folder / "model.onnx").write_bytes(
        to_onnx(model, X[:1], options={id(model): {"zipmap": False}}).SerializeToString()
    )
    rows = X[[3, 100, 239]]
    pairs = zip(
        labels(model.predict(rows)),
        tabular.by_class(labels(model.classes_), model.predict_proba(rows).astype(np.float32)),
        strict=True,
    )
    return tabular.requests(rows, [{"label": label, "scores": scores} for label, scores in pairs])


def many_rows(folder):
    """150 rows in one request, each with the answer that it has alone."""
    X = tabular.numbers(150)
    model = LogisticRegression().fit(X, targets("strings", X))
    (folder / "model.onnx").write_bytes(
        to_onnx(model, X[:1], options={id(model): {"zipmap": False}}).SerializeToString()
    )
    return [{"json": {"features": X}, "expected": [{"label": one} for one in labels(model.predict(X))]}]


def versions(folder):
    """The highest version is served, with the names that lie beside all versions."""
    for number, kind in (("2", "one-based"), ("10", "three")):
        (folder / number).mkdir()
        rows, expected = classifier(folder / number, kind)
    names = ["red", "green", "blue"]
    (folder / "labels.txt").write_text("\n".join(names) + "\n")
    return tabular.requests(rows, by_name(expected, names))


def golden(folder):
    """Rows and labels that the start compares, and a list of checksums that agrees."""
    rows, expected = classifier(folder, "strings")
    write_json(folder / "golden.json", [{"features": rows[0], "label": expected[0]["label"]}])
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.iterdir())]
    (folder / "SHA256SUMS").write_text("".join(lines))
    return tabular.requests(rows, expected)


def by_name(expected, names):
    return [
        {"label": names[int(one["label"])], "scores": {names[int(key)]: value for key, value in one["scores"].items()}}
        for one in expected
    ]


def labels_of_windows(folder):
    """A byte order mark, carriage returns, and no end of the last line."""
    rows, expected = classifier(folder)
    names = ["grün", "light blue", "red"]
    (folder / "labels.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(names).encode())
    return tabular.requests(rows, by_name(expected, names))


def cases():
    yield edge("int64-exact", modulo)
    yield edge("int64-rows", rows_of_int64)
    yield edge("int64-answers", int64_answers)
    yield edge("double", double, tolerance=1e-14)
    yield edge("missing-number", reciprocal)
    yield edge("columns-of-kinds", columns)
    yield edge("strings", strings, task=["text-regression", "tabular-regression"])
    yield edge("string-columns", string_columns)
    for name, build in {
        "rows": shapes_of_rows,
        "labels-beside": labels_beside,
        "labels-of-windows": labels_of_windows,
        "versions": versions,
        "golden": golden,
        "nocl-labels": nocl_with_labels,
        "nocl-alone": nocl_alone,
        "many-classes": many_classes,
        "many-rows": many_rows,
    }.items():
        yield case(
            "skl2onnx",
            f"edge-{name}",
            build,
            family="edges of requests",
            task="tabular-classification",
            made_with=MADE_WITH,
            committed=True,
        )


if __name__ == "__main__":
    main(cases)

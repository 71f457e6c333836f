"""Networks so small that each number can be told by hand, written by onnx alone, and a plain classifier."""

import numpy as np
import onnx
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

import tabular
from sklearn_cases import labels, targets

FLOAT, DOUBLE, INT64 = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64
STRING, BOOL = TensorProto.STRING, TensorProto.BOOL


def graph(folder, nodes, inputs, outputs, constants=(), name="model.onnx"):
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "edge",
        [value(one, kind, shape) for one, kind, shape in inputs],
        [value(one, kind, shape) for one, kind, shape in outputs],
        list(constants),
    )
    model = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8
    )
    onnx.checker.check_model(model)
    onnx.save(model, folder / name)


def classifier(folder, y="three", **more):
    X = tabular.numbers()
    model = LogisticRegression().fit(X, targets(y, X))
    (folder / "model.onnx").write_bytes(
        to_onnx(model, X[:1], options={id(model): {"zipmap": False}}, **more).SerializeToString()
    )
    rows = tabular.asked(X)
    expected = zip(
        labels(model.predict(rows)),
        tabular.by_class(labels(model.classes_), np.asarray(model.predict_proba(rows), np.float32)),
        strict=True,
    )
    return rows, [{"label": label, "scores": scores} for label, scores in expected]

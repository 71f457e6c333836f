"""What ONNX Runtime's own tools make of networks: its own format, optimised graphs, and eight bits.

The reference is the network as the tool wrote it, run by ONNX Runtime; labels are the library's as well.
"""

import numpy as np
import onnxruntime
from common import case, in_eight_bits, main
from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import SVC

import tabular
from sklearn_cases import labels, targets

REQUIREMENTS = "classical"
MADE_WITH = ("scikit-learn", "skl2onnx", "onnxruntime")
MLP = {"hidden_layer_sizes": (16,), "max_iter": 80, "random_state": 0}


def own_format(folder, model):
    convert_onnx_models_to_ort(folder, output_dir=folder, optimization_styles=[OptimizationStyle.Fixed])
    (folder / "model.onnx").unlink()
    for path in folder.glob("*.config"):
        path.unlink()


def optimised(folder, model):
    """A graph that ONNX Runtime saved after its own optimisations, with its fused operators."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    (folder / "optimised.onnx").rename(folder / "model.onnx")


def eight_bits(folder, model):
    """The scale of its numbers is that of all rows of a run, so a row's answer moves by its neighbours there; the
    reference is that of the row alone."""
    in_eight_bits(folder / "model.onnx", folder / "quantized.onnx")
    (folder / "quantized.onnx").rename(folder / "model.onnx")


def tool(name, change, make, kind, *, names=True):
    """`names`: the classes stand where the server can read them; else labels alone are compared."""
    regression = kind == "value"

    def build(folder):
        X = tabular.numbers()
        model = make().fit(X, targets(kind, X))
        options = None if regression else {id(model): {"zipmap": False}}
        (folder / "model.onnx").write_bytes(to_onnx(model, X[:1], options=options).SerializeToString())
        change(folder, model)
        rows = tabular.asked(X)
        (path,) = [*folder.glob("*.onnx"), *folder.glob("*.ort")]
        alone = [list(tabular.Network(path).run(rows[number : number + 1]).values()) for number in range(len(rows))]
        network = [np.concatenate(parts) for parts in zip(*alone, strict=True)]
        if regression:
            if change is not eight_bits:
                tabular.same(model.predict(rows), network[0], 1e-4, "predict")
            return tabular.requests(rows, [{"value": value} for value in network[0].reshape(-1)])
        own = labels(network[0])
        if change is not eight_bits:
            tabular.same(labels(model.predict(rows)), own, 0, "predict")
        expected = [{"label": label} for label in own]
        if names:
            scores = tabular.by_class(labels(model.classes_), np.asarray(network[1], np.float32))
            expected = [one | {"scores": two} for one, two in zip(expected, scores, strict=True)]
        return tabular.requests(rows, expected)

    more = {"difference": "numbers of eight bits, whose scale is that of the row alone"} if change is eight_bits else {}
    task = "tabular-regression" if regression else "tabular-classification"
    return case(
        "onnxruntime",
        name,
        build,
        family=name.rsplit("-", 2)[0],
        task=task,
        made_with=MADE_WITH,
        committed=True,
        **more,
    )


def cases():
    forest = lambda: RandomForestClassifier(3, max_depth=2, random_state=0)  # noqa: E731
    for kind in ("three", "strings", "one-based"):
        yield tool(f"ort-format-logistic-{kind.replace('-', '')}", own_format, LogisticRegression, kind, names=False)
        yield tool(f"optimised-logistic-{kind.replace('-', '')}", optimised, LogisticRegression, kind)
        yield tool(f"optimised-mlp-{kind.replace('-', '')}", optimised, lambda: MLPClassifier(**MLP), kind)
        yield tool(f"eight-bits-mlp-{kind.replace('-', '')}", eight_bits, lambda: MLPClassifier(**MLP), kind)
    yield tool("ort-format-forest-strings", own_format, forest, "strings", names=False)
    yield tool("ort-format-svc-two", own_format, SVC, "two", names=False)
    yield tool("ort-format-mlp-value", own_format, lambda: MLPRegressor(**MLP), "value")
    yield tool("optimised-svc-two", optimised, SVC, "two")
    yield tool("eight-bits-mlp-value", eight_bits, lambda: MLPRegressor(**MLP), "value")


if __name__ == "__main__":
    main(cases)

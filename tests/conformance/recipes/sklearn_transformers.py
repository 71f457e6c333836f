"""Transformers of scikit-learn alone, whose numbers no task names: asked as tensors, through /v2."""

import numpy as np
from common import case, main, plain
from sklearn import preprocessing
from sklearn.decomposition import PCA, IncrementalPCA, KernelPCA, TruncatedSVD
from sklearn.feature_selection import SelectKBest, VarianceThreshold
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.random_projection import GaussianRandomProjection

import tabular
from sklearn_cases import MADE_WITH, targets, write

REQUIREMENTS = "classical"
# A row of numbers for a row: which of these a server takes it for is its own affair.
TASKS = ["tensors", "tabular-regression", "feature-extraction"]

MODELS = {
    "standard-scaler": preprocessing.StandardScaler,
    "min-max-scaler": preprocessing.MinMaxScaler,
    "max-abs-scaler": preprocessing.MaxAbsScaler,
    "robust-scaler": preprocessing.RobustScaler,
    "normalizer": preprocessing.Normalizer,
    "binarizer": preprocessing.Binarizer,
    "polynomial": lambda: preprocessing.PolynomialFeatures(2),
    "power": preprocessing.PowerTransformer,
    "quantile": lambda: preprocessing.QuantileTransformer(n_quantiles=10),
    "bins": lambda: preprocessing.KBinsDiscretizer(3, encode="ordinal", quantile_method="averaged_inverted_cdf"),
    "pca": lambda: PCA(2),
    "incremental-pca": lambda: IncrementalPCA(2),
    "svd": lambda: TruncatedSVD(2, random_state=0),
    "kernel-pca": lambda: KernelPCA(2, kernel="rbf"),
    "projection": lambda: GaussianRandomProjection(2, random_state=0),
    "k-best": lambda: SelectKBest(k=2),
    "variance": lambda: VarianceThreshold(0.5),
    "union": lambda: FeatureUnion([("a", PCA(2)), ("b", preprocessing.StandardScaler())]),
    "scaled-pca": lambda: make_pipeline(preprocessing.StandardScaler(), PCA(2)),
}
COMMITTED = {"standard-scaler", "pca", "polynomial", "union", "scaled-pca", "k-best", "binarizer"}


def v2(name: str, rows: np.ndarray, datatype: str = "FP32") -> dict:
    return {"inputs": [{"name": name, "shape": list(rows.shape), "datatype": datatype, "data": plain(rows.ravel())}]}


def transformer(name, make):
    def build(folder):
        X = tabular.numbers()
        model = make()
        model.fit(X, targets("three", X))
        rows = tabular.asked(X)
        write(folder, model, X[:1], None, None)
        network = tabular.Network(folder / "model.onnx")
        ((output, got),) = network.run(rows).items()
        theirs = np.asarray(model.transform(rows), np.float32)
        tabular.same(theirs, got, 1e-4, "transform")
        return [{"v2": v2(network.inputs[0].name, rows), "expected_v2": {output: theirs.ravel()}}]

    return case(
        "skl2onnx",
        f"only-{name}",
        build,
        family="transformers",
        task=TASKS,
        made_with=MADE_WITH,
        committed=name in COMMITTED,
    )


def imputer(name, make):
    """/predict takes null for a missing number; the answer is that of the network of numbers [N,4]."""

    def build(folder):
        X = tabular.numbers()
        X[np.random.default_rng(1).random(X.shape) < 0.2] = np.nan
        model = make()
        model.fit(X)
        rows = tabular.asked(np.nan_to_num(X))
        rows[0, 1] = rows[2, 3] = np.nan
        write(folder, model, X[:1], None, None)
        network = tabular.Network(folder / "model.onnx")
        theirs = np.asarray(model.transform(rows), np.float32)
        tabular.same(theirs, next(iter(network.run(rows).values())), 1e-4, "transform")
        return tabular.requests(rows, [{"value": row} for row in theirs])

    return case(
        "skl2onnx",
        f"only-{name}",
        build,
        family="transformers",
        task=["tabular-regression", "tensors"],
        made_with=MADE_WITH,
        committed=True,
    )


def mlp_of_two_targets():
    """skl2onnx ends it in a column of all targets, two numbers a row below each other: no task's answer."""

    def build(folder):
        X = tabular.numbers()
        model = MLPRegressor(hidden_layer_sizes=(6,), max_iter=200, random_state=0).fit(X, targets("values", X))
        rows = tabular.asked(X)
        write(folder, model, X[:1], None, None)
        network = tabular.Network(folder / "model.onnx")
        ((output, got),) = network.run(rows).items()
        theirs = np.asarray(model.predict(rows), np.float32)
        tabular.same(theirs, got, 1e-4, "predict")
        return [{"v2": v2(network.inputs[0].name, rows), "expected_v2": {output: theirs.ravel()}}]

    return case(
        "skl2onnx", "reg2-mlp", build, family="regression, neural", task=TASKS, made_with=MADE_WITH, committed=True
    )


def cases():
    for name, make in MODELS.items():
        yield transformer(name, make)
    yield imputer("simple-imputer", SimpleImputer)
    yield imputer("knn-imputer", lambda: KNNImputer(n_neighbors=2))
    yield mlp_of_two_targets()


if __name__ == "__main__":
    main(cases)

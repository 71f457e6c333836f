"""Regressors of scikit-learn, with one and several targets."""

import numpy as np
from common import main
from sklearn import linear_model as linear
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVR, LinearSVR, NuSVR
from sklearn.tree import DecisionTreeRegressor, ExtraTreeRegressor

import tabular
from sklearn_cases import regressor

REQUIREMENTS = "classical"
EXPORTER = "skl2onnx"
SMALL = tabular.numbers(30)

ONE_TARGET = {
    "linear": {
        "reg-linear": linear.LinearRegression,
        "reg-ridge": linear.Ridge,
        "reg-lasso": lambda: linear.Lasso(0.1),
        "reg-elastic-net": lambda: linear.ElasticNet(0.1),
        "reg-lars": lambda: linear.Lars(),
        "reg-bayes": linear.BayesianRidge,
        "reg-ard": linear.ARDRegression,
        "reg-huber": linear.HuberRegressor,
        "reg-theil-sen": lambda: linear.TheilSenRegressor(random_state=0),
        "reg-ransac": lambda: linear.RANSACRegressor(random_state=0),
        "reg-sgd": lambda: linear.SGDRegressor(random_state=0),
        "reg-omp": linear.OrthogonalMatchingPursuit,
        "reg-quantile": lambda: linear.QuantileRegressor(alpha=0.01),
        "reg-polynomial": lambda: make_pipeline(PolynomialFeatures(2), linear.Ridge()),
        "reg-grid": lambda: GridSearchCV(linear.Ridge(), {"alpha": [0.1, 1]}, cv=3),
    },
    "svm": {
        "reg-svr": SVR,
        "reg-svr-linear": lambda: SVR(kernel="linear"),
        "reg-nusvr": NuSVR,
        "reg-linearsvr": lambda: LinearSVR(random_state=0),
        "reg-svr-scaled": lambda: make_pipeline(StandardScaler(), SVR()),
    },
    "trees": {
        "reg-tree": lambda: DecisionTreeRegressor(max_depth=3, random_state=0),
        "reg-extra-tree": lambda: ExtraTreeRegressor(max_depth=3, random_state=0),
        "reg-forest": lambda: RandomForestRegressor(3, max_depth=3, random_state=0),
        "reg-extra-trees": lambda: ExtraTreesRegressor(3, max_depth=3, random_state=0),
        "reg-boosting": lambda: GradientBoostingRegressor(n_estimators=4, max_depth=2, random_state=0),
        "reg-hist-boosting": lambda: HistGradientBoostingRegressor(max_iter=4, max_depth=2, random_state=0),
        "reg-adaboost": lambda: AdaBoostRegressor(n_estimators=3, random_state=0),
        "reg-bagging": lambda: BaggingRegressor(DecisionTreeRegressor(max_depth=2), n_estimators=3, random_state=0),
    },
    "meta": {
        "reg-voting": lambda: VotingRegressor([("a", linear.Ridge()), ("b", DecisionTreeRegressor(max_depth=2))]),
        "reg-stacking": lambda: StackingRegressor(
            [("a", linear.Ridge()), ("b", DecisionTreeRegressor(max_depth=2))], linear.Ridge(), cv=3
        ),
    },
    "neural": {"reg-mlp": lambda: MLPRegressor(hidden_layer_sizes=(6,), max_iter=200, random_state=0)},
}
POSITIVE = {
    "reg-poisson": linear.PoissonRegressor,
    "reg-gamma": linear.GammaRegressor,
    "reg-tweedie": lambda: linear.TweedieRegressor(power=1.5),
}
TWO_TARGETS = {
    "linear": {
        "reg2-linear": linear.LinearRegression,
        "reg2-ridge": linear.Ridge,
        "reg2-lasso": lambda: linear.MultiTaskLasso(0.1),
        "reg2-pls": lambda: PLSRegression(2),
    },
    "trees": {
        "reg2-tree": lambda: DecisionTreeRegressor(max_depth=3, random_state=0),
        "reg2-forest": lambda: RandomForestRegressor(3, max_depth=3, random_state=0),
    },
    "meta": {
        "reg2-multi-output": lambda: MultiOutputRegressor(linear.Ridge()),
        "reg2-multi-output-boosting": lambda: MultiOutputRegressor(
            GradientBoostingRegressor(n_estimators=2, max_depth=2, random_state=0)
        ),
    },
}
# Of these a few are kept in the repository.
GENERATED = {
    "reg-lars",
    "reg-ard",
    "reg-theil-sen",
    "reg-omp",
    "reg-quantile",
    "reg-extra-tree",
    "reg-extra-trees",
    "reg-nusvr",
    "reg-huber",
    "reg-elastic-net",
}


def cases():
    for family, models in ONE_TARGET.items():
        for name, make in models.items():
            X = SMALL if family == "svm" else None
            yield regressor(EXPORTER, name, make, family=f"regression, {family}", X=X, committed=name not in GENERATED)
    for name, make in POSITIVE.items():
        yield regressor(EXPORTER, name, make, "positive", family="regression, linear")
    for family, models in TWO_TARGETS.items():
        for name, make in models.items():
            yield regressor(EXPORTER, name, make, "values", family=f"regression, {family}")
    yield regressor(EXPORTER, "reg-knn", lambda: KNeighborsRegressor(3), family="regression, neighbours", X=SMALL)
    yield regressor(
        EXPORTER,
        "reg-knn-distance",
        lambda: KNeighborsRegressor(3, weights="distance"),
        family="regression, neighbours",
        X=SMALL,
        difference="skl2onnx leaves out the weights by distance",
    )
    yield regressor(
        EXPORTER, "reg2-knn", lambda: KNeighborsRegressor(3), "values", family="regression, neighbours", X=SMALL
    )

    double = SMALL.astype(np.float64)
    process = lambda: GaussianProcessRegressor(RBF() + WhiteKernel(0.1), random_state=0)  # noqa: E731
    yield regressor(
        EXPORTER, "reg-gaussian-process", process, family="regression, gaussian process", X=double, tolerance=1e-6
    )
    for name, make in {
        "reg-double-linear": linear.LinearRegression,
        "reg-double-mlp": lambda: MLPRegressor(hidden_layer_sizes=(6,), max_iter=200, random_state=0),
    }.items():
        yield regressor(
            EXPORTER,
            name,
            make,
            family="regression, double",
            X=tabular.numbers().astype(np.float64) + 1e-9,
            tolerance=1e-7,
        )
    whole = np.round(tabular.numbers() * 10).astype(np.int64)
    yield regressor(EXPORTER, "reg-int64-linear", linear.LinearRegression, family="regression, int64", X=whole)
    yield regressor(
        EXPORTER,
        "reg-int64-forest",
        lambda: RandomForestRegressor(3, max_depth=3, random_state=0),
        family="regression, int64",
        X=whole,
    )
    for opset in (9, 11, 13, 15, 18, 21):
        versions = {"": opset, "ai.onnx.ml": 1 if opset < 15 else 3}
        yield regressor(
            EXPORTER,
            f"reg-opset-{opset}",
            lambda: make_pipeline(StandardScaler(), linear.Ridge()),
            family="regression, opsets",
            convert={"target_opset": versions},
            committed=opset in (9, 21),
        )
        yield regressor(
            EXPORTER,
            f"reg-forest-opset-{opset}",
            lambda: RandomForestRegressor(3, max_depth=2, random_state=0),
            family="regression, opsets",
            convert={"target_opset": versions},
            committed=opset in (9, 21),
        )


if __name__ == "__main__":
    main(cases)

"""Clusters, outliers, and several answers a row, of scikit-learn."""

import numpy as np
from common import main
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.ensemble import ExtraTreesClassifier, IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDOneClassSVM
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier

import tabular
from sklearn_cases import classifier, unsupervised

REQUIREMENTS = "classical"
EXPORTER = "skl2onnx"
SMALL = tabular.numbers(30)


def clusters():
    for name, make in {
        "kmeans": lambda: KMeans(3, n_init=2, random_state=0),
        "kmeans-5": lambda: KMeans(5, n_init=2, random_state=0),
        "kmeans-minibatch": lambda: MiniBatchKMeans(3, n_init=2, random_state=0),
        "kmeans-scaled": lambda: make_pipeline(StandardScaler(), KMeans(3, n_init=2, random_state=0)),
    }.items():
        yield unsupervised(EXPORTER, name, make, family="clusters", scores="transform")
    yield unsupervised(
        EXPORTER,
        "kmeans-double",
        lambda: KMeans(3, n_init=2, random_state=0),
        family="clusters",
        scores="transform",
        X=tabular.numbers().astype(np.float64),
        tolerance=1e-6,
    )
    for kind in ("full", "tied", "diag", "spherical"):
        yield unsupervised(
            EXPORTER,
            f"mixture-{kind}",
            lambda kind=kind: GaussianMixture(3, covariance_type=kind, random_state=0),
            family="mixtures",
            scores="predict_proba",
            tolerance=1e-3,
            committed=kind in ("full", "diag"),
        )
    yield unsupervised(
        EXPORTER,
        "mixture-bayesian",
        lambda: BayesianGaussianMixture(n_components=3, random_state=0),
        family="mixtures",
        scores="predict_proba",
        tolerance=1e-3,
    )
    yield unsupervised(
        EXPORTER,
        "mixture-samples",
        lambda: GaussianMixture(3, random_state=0),
        family="mixtures",
        scores="predict_proba",
        options={"score_samples": True},
        tolerance=1e-3,
    )


def outliers():
    opset = {"target_opset": {"": 17, "ai.onnx.ml": 3}}
    yield unsupervised(
        EXPORTER,
        "isolation-forest",
        lambda: IsolationForest(n_estimators=4, max_samples=16, random_state=0),
        family="outliers",
        scores="decision_function",
        convert=opset,
    )
    yield unsupervised(
        EXPORTER,
        "isolation-forest-samples",
        lambda: IsolationForest(n_estimators=3, max_samples=16, random_state=0),
        family="outliers",
        scores="decision_function",
        convert=opset,
        options={"score_samples": True},
    )
    yield unsupervised(
        EXPORTER, "one-class-svm", lambda: OneClassSVM(nu=0.2), family="outliers", scores="decision_function", X=SMALL
    )
    yield unsupervised(
        EXPORTER,
        "local-outliers",
        lambda: LocalOutlierFactor(5, novelty=True),
        family="outliers",
        scores="decision_function",
        X=SMALL,
    )
    yield unsupervised(
        EXPORTER, "sgd-one-class", lambda: SGDOneClassSVM(random_state=0), family="outliers", scores="decision_function"
    )
    yield unsupervised(
        EXPORTER,
        "one-class-svm-scaled",
        lambda: make_pipeline(StandardScaler(), OneClassSVM(nu=0.2)),
        family="outliers",
        scores="decision_function",
        X=SMALL,
    )


def several():
    """Multi-label as probabilities [N,L]: each label's own. Several outputs: a list of labels."""
    for name, make in {
        "flags-ovr": lambda: OneVsRestClassifier(LogisticRegression()),
        "flags-mlp": lambda: MLPClassifier((6,), max_iter=60, random_state=0),
        "flags-mlp-scaled": lambda: make_pipeline(StandardScaler(), MLPClassifier((6,), max_iter=60, random_state=0)),
        "flags-ovr-svc": lambda: OneVsRestClassifier(SVC(probability=True, random_state=0)),
    }.items():
        yield multi_label(name, make)
    for name, make in {
        "flags-forest": lambda: RandomForestClassifier(3, max_depth=2, random_state=0),
        "flags-extra-trees": lambda: ExtraTreesClassifier(3, max_depth=2, random_state=0),
        "flags-tree": lambda: DecisionTreeClassifier(max_depth=2, random_state=0),
        "flags-knn": lambda: KNeighborsClassifier(3),
        "flags-multi-output": lambda: MultiOutputClassifier(LogisticRegression()),
    }.items():
        yield classifier(EXPORTER, name, make, "flags", family="several outputs", scores="none", X=SMALL)
    yield classifier(
        EXPORTER,
        "pair-multi-output",
        lambda: MultiOutputClassifier(LogisticRegression()),
        "pair",
        family="several outputs",
        scores="none",
    )
    yield classifier(
        EXPORTER,
        "pair-multi-output-tree",
        lambda: MultiOutputClassifier(DecisionTreeClassifier(max_depth=2)),
        "pair",
        family="several outputs",
        scores="none",
    )
    yield classifier(
        EXPORTER,
        "pair-multi-output-strings",
        lambda: MultiOutputClassifier(LogisticRegression()),
        "string-pair",
        family="several outputs",
        scores="none",
    )


def multi_label(name, make):
    one = classifier(EXPORTER, name, make, "flags", family="multi-label")
    build = one.build

    # `label` of the network is 0 or 1 for each label, where the answer has one name.
    def scores_alone(folder):
        made = build(folder)
        for request in made["requests"]:
            request["expected"] = [{"scores": answer["scores"]} for answer in request["expected"]]
        return made

    one.build = scores_alone
    return one


def cases():
    for part in (clusters, outliers, several):
        yield from part()


if __name__ == "__main__":
    main(cases)

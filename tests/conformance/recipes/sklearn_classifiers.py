"""Classifiers of scikit-learn, one by one."""

import numpy as np
from common import main
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import (
    LogisticRegression,
    LogisticRegressionCV,
    PassiveAggressiveClassifier,
    Perceptron,
    RidgeClassifier,
    RidgeClassifierCV,
    SGDClassifier,
)
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC, NuSVC
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

import tabular
from sklearn_cases import classifier

REQUIREMENTS = "classical"
EXPORTER = "skl2onnx"
ALL = ("two", "three", "one-based", "shifted", "negative", "strings", "two-strings", "bools", "digits")
COUNTS = np.abs(np.round(tabular.numbers() * 3))
# Conversions without the option `zipmap`.
NONE = None


def each(name, make, kinds, **said):
    for kind in kinds:
        yield classifier(EXPORTER, f"{name}-{kind}", make, kind, **said)


def linear():
    yield from each("logistic", LogisticRegression, ALL, family="linear")
    yield from each("logistic-zipmap", LogisticRegression, ALL, family="linear", options=NONE)
    yield from each(
        "logistic-columns",
        LogisticRegression,
        ("two", "three", "strings"),
        family="linear",
        options={"zipmap": "columns"},
    )
    yield from each(
        "logistic-cv",
        lambda: LogisticRegressionCV(Cs=[0.1, 1], cv=3),
        ("three", "strings"),
        family="linear",
        committed=False,
    )
    raw = {"zipmap": False, "raw_scores": True}
    yield from each(
        "logistic-raw",
        LogisticRegression,
        ("three", "strings", "one-based"),
        family="linear",
        options=raw,
        scores="decision_function",
    )
    yield from each(
        "logistic-raw", LogisticRegression, ("two", "two-strings"), family="linear", options=raw, scores="network"
    )
    yield from each(
        "sgd-log",
        lambda: SGDClassifier(loss="log_loss", random_state=0),
        ("two", "three", "strings", "one-based"),
        family="linear",
    )
    yield from each(
        "sgd-huber",
        lambda: SGDClassifier(loss="modified_huber", random_state=0),
        ("two",),
        family="linear",
        committed=False,
    )
    yield from each(
        "sgd-huber",
        lambda: SGDClassifier(loss="modified_huber", random_state=0),
        ("three",),
        family="linear",
        difference="skl2onnx scales the probabilities of the modified Huber loss of several classes in another way",
    )
    yield from each(
        "sgd-hinge",
        lambda: SGDClassifier(random_state=0),
        ("three", "strings", "one-based"),
        family="linear",
        options={"zipmap": False, "raw_scores": True},
        scores="decision_function",
    )
    yield from each(
        "sgd-hinge",
        lambda: SGDClassifier(random_state=0),
        ("two", "two-strings", "negative"),
        family="linear",
        options={"zipmap": False, "raw_scores": True},
        scores="network",
    )
    yield from each(
        "perceptron",
        lambda: Perceptron(random_state=0),
        ("three", "strings"),
        family="linear",
        options={"zipmap": False, "raw_scores": True},
        scores="decision_function",
    )
    yield from each(
        "perceptron",
        lambda: Perceptron(random_state=0),
        ("two",),
        family="linear",
        options={"zipmap": False, "raw_scores": True},
        scores="network",
    )
    yield from each(
        "passive-aggressive",
        lambda: PassiveAggressiveClassifier(random_state=0),
        ("three",),
        family="linear",
        options=NO_OPTIONS,
        scores="network",
        committed=False,
    )
    yield from each(
        "ridge", RidgeClassifier, ("three", "strings", "shifted"), family="linear", scores="decision_function"
    )
    yield from each("ridge", RidgeClassifier, ("two", "two-strings", "negative"), family="linear", scores="value")
    yield from each("ridge-cv", RidgeClassifierCV, ("two",), family="linear", scores="value", committed=False)
    yield from each(
        "ridge-cv", RidgeClassifierCV, ("three",), family="linear", scores="decision_function", committed=False
    )


NO_OPTIONS = None


def svm():
    yield from each(
        "linearsvc",
        lambda: LinearSVC(random_state=0),
        ("three", "strings", "one-based"),
        family="svm",
        options=NONE,
        scores="decision_function",
    )
    yield from each(
        "linearsvc",
        lambda: LinearSVC(random_state=0),
        ("two", "two-strings", "negative", "bools"),
        family="svm",
        options=NONE,
        scores="value",
    )
    yield from each("svc", SVC, ("two", "two-strings", "negative", "bools"), family="svm", scores="network")
    yield from each("svc", SVC, ("three", "strings", "one-based", "shifted"), family="svm", scores="network")
    yield from each("svc-zipmap", SVC, ("two", "two-strings", "negative"), family="svm", options=NONE, scores="network")
    yield from each("svc-zipmap", SVC, ("three", "strings"), family="svm", options=NONE, scores="network")
    yield from each("svc-ovo", lambda: SVC(decision_function_shape="ovo"), ("six",), family="svm", scores="value")
    yield from each(
        "svc-ovo", lambda: SVC(decision_function_shape="ovo"), ("three", "strings"), family="svm", scores="none"
    )
    for kernel in ("linear", "poly", "sigmoid"):
        yield from each(
            f"svc-{kernel}",
            lambda kernel=kernel: SVC(kernel=kernel),
            ("two", "three"),
            family="svm",
            scores="network",
            committed=kernel == "linear",
        )
    yield from each("nusvc", lambda: NuSVC(nu=0.3), ("two", "three", "two-strings"), family="svm", scores="network")
    yield from each(
        "svc-scaled", lambda: make_pipeline(StandardScaler(), SVC()), ("two", "strings"), family="svm", scores="network"
    )
    yield from each(
        "svc-probability",
        lambda: SVC(probability=True, random_state=0),
        ("two", "three", "strings", "negative"),
        family="svm",
    )
    yield from each(
        "svc-grid",
        lambda: GridSearchCV(SVC(), {"C": [0.5, 1]}, cv=3),
        ("two", "two-strings"),
        family="svm",
        scores="network",
    )


def trees():
    for name, make in {
        "tree": lambda: DecisionTreeClassifier(max_depth=3, random_state=0),
        "extra-tree": lambda: ExtraTreeClassifier(max_depth=3, random_state=0),
        "forest": lambda: RandomForestClassifier(4, max_depth=3, random_state=0),
        "extra-trees": lambda: ExtraTreesClassifier(4, max_depth=3, random_state=0),
        "boosting": lambda: GradientBoostingClassifier(n_estimators=3, max_depth=2, random_state=0),
        "hist-boosting": lambda: HistGradientBoostingClassifier(max_iter=3, max_depth=2, random_state=0),
        "adaboost": lambda: AdaBoostClassifier(n_estimators=3, random_state=0),
    }.items():
        yield from each(name, make, ("three", "two-strings"), family="trees")
        yield from each(
            name,
            make,
            ("strings", "one-based", "negative", "bools")[: 3 if name == "adaboost" else 4],
            family="trees",
            committed=name in ("forest", "adaboost"),
        )
        yield from each(
            f"{name}-zipmap",
            make,
            ("three", "strings", "negative"),
            family="trees",
            options=NONE,
            committed=name in ("tree", "hist-boosting"),
        )
    yield classifier(
        EXPORTER,
        "forest-nocl",
        lambda: RandomForestClassifier(3, max_depth=2, random_state=0),
        "three",
        family="trees",
        options={"zipmap": False, "nocl": True},
    )
    yield classifier(
        EXPORTER,
        "tree-leaf",
        lambda: DecisionTreeClassifier(max_depth=2),
        "three",
        family="trees",
        options={"zipmap": False, "decision_leaf": True},
    )
    yield classifier(
        EXPORTER,
        "tree-path",
        lambda: DecisionTreeClassifier(max_depth=2),
        "strings",
        family="trees",
        options={"zipmap": False, "decision_path": True},
    )


def neighbours_bayes_and_others():
    small = tabular.numbers(30)
    yield from each(
        "knn",
        lambda: KNeighborsClassifier(3),
        ("two", "three", "strings", "one-based", "two-strings", "negative", "bools"),
        family="neighbours",
        X=small,
    )
    yield from each(
        "knn-zipmap", lambda: KNeighborsClassifier(3), ("three", "strings"), family="neighbours", X=small, options=NONE
    )
    yield from each(
        "knn-distance",
        lambda: KNeighborsClassifier(4, weights="distance"),
        ("three",),
        family="neighbours",
        X=small,
        difference="skl2onnx leaves out the weights by distance",
    )
    yield from each(
        "knn-manhattan",
        lambda: KNeighborsClassifier(4, metric="manhattan"),
        ("strings",),
        family="neighbours",
        X=small,
        committed=False,
    )
    yield from each(
        "gaussian-nb",
        GaussianNB,
        ("two", "three", "strings", "one-based", "two-strings"),
        family="bayes",
        tolerance=1e-3,
    )
    yield from each(
        "gaussian-nb-zipmap", GaussianNB, ("one-based", "strings"), family="bayes", tolerance=1e-3, options=NONE
    )
    yield from each("multinomial-nb", MultinomialNB, ("three", "strings", "shifted"), family="bayes", X=COUNTS)
    yield from each("complement-nb", ComplementNB, ("three", "strings"), family="bayes", X=COUNTS)
    yield from each("bernoulli-nb", lambda: BernoulliNB(binarize=0.2), ("three", "two-strings"), family="bayes")
    yield from each(
        "categorical-nb",
        lambda: CategoricalNB(min_categories=40),
        ("three", "strings"),
        family="bayes",
        X=COUNTS.astype(np.int64),
    )
    yield from each("lda", LinearDiscriminantAnalysis, ("three", "strings"), family="discriminant")
    yield from each(
        "lda",
        LinearDiscriminantAnalysis,
        ("two",),
        family="discriminant",
        difference="skl2onnx takes a softmax over both margins of two classes, scikit-learn a sigmoid of one",
    )
    yield from each(
        "qda", QuadraticDiscriminantAnalysis, ("three", "strings", "one-based"), family="discriminant", tolerance=1e-3
    )
    mlp = lambda: MLPClassifier((6,), max_iter=60, random_state=0)  # noqa: E731
    yield from each("mlp", mlp, ("two", "three", "strings", "one-based", "two-strings", "negative"), family="neural")
    yield from each("mlp-zipmap", mlp, ("two", "strings"), family="neural", options=NONE)


def meta():
    base = lambda: LogisticRegression()  # noqa: E731
    yield from each(
        "ovr",
        lambda: OneVsRestClassifier(base()),
        ("two", "three", "strings", "one-based", "two-strings"),
        family="meta",
    )
    yield from each(
        "ovr-zipmap", lambda: OneVsRestClassifier(base()), ("three", "strings"), family="meta", options=NONE
    )
    yield from each(
        "ovr-svc",
        lambda: OneVsRestClassifier(SVC()),
        ("three",),
        family="meta",
        scores="none",
        difference="skl2onnx takes the margins of each SVC the other way around",
    )
    yield from each(
        "ovr-forest",
        lambda: OneVsRestClassifier(RandomForestClassifier(2, max_depth=2, random_state=0)),
        ("three",),
        family="meta",
        committed=False,
    )
    yield from each("ovo", lambda: OneVsOneClassifier(base()), ("three",), family="meta", scores="decision_function")
    yield from each(
        "ovo",
        lambda: OneVsOneClassifier(base()),
        ("one-based",),
        family="meta",
        scores="none",
        difference="skl2onnx writes a one-vs-one classifier's labels as numbers from 0",
    )
    yield from each(
        "ovo-zipmap",
        lambda: OneVsOneClassifier(base()),
        ("three",),
        family="meta",
        options=NONE,
        scores="decision_function",
    )
    calibrated = lambda method: CalibratedClassifierCV(LinearSVC(random_state=0), method=method, cv=2)  # noqa: E731
    yield from each("calibrated-sigmoid", lambda: calibrated("sigmoid"), ("two", "three", "strings"), family="meta")
    yield from each("calibrated-isotonic", lambda: calibrated("isotonic"), ("two",), family="meta", committed=False)
    yield from each(
        "calibrated-isotonic",
        lambda: calibrated("isotonic"),
        ("three", "strings"),
        family="meta",
        committed=False,
        difference="skl2onnx takes the steps of an isotonic calibration in another way",
    )
    yield from each(
        "calibrated-forest",
        lambda: CalibratedClassifierCV(RandomForestClassifier(2, max_depth=2, random_state=0), cv=2),
        ("one-based",),
        family="meta",
    )
    yield from each("grid", lambda: GridSearchCV(base(), {"C": [0.5, 1]}, cv=3), ("three", "strings"), family="meta")
    yield from each(
        "tuned-threshold", lambda: TunedThresholdClassifierCV(base(), cv=3, random_state=0), ("two",), family="meta"
    )
    yield from each(
        "bagging",
        lambda: BaggingClassifier(base(), n_estimators=2, random_state=0),
        ("two", "three", "strings", "one-based"),
        family="meta",
    )
    yield from each(
        "bagging-tree",
        lambda: BaggingClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=2, random_state=0),
        ("strings",),
        family="meta",
        committed=False,
    )
    parts = lambda: [
        ("one", LogisticRegression()),
        ("two", DecisionTreeClassifier(max_depth=2, random_state=0)),
        ("three", GaussianNB()),
    ]  # noqa: E731
    yield from each(
        "voting-soft",
        lambda: VotingClassifier(parts(), voting="soft", flatten_transform=False),
        ("two", "three", "strings", "one-based"),
        family="meta",
    )
    yield from each(
        "voting-hard",
        lambda: VotingClassifier(parts(), flatten_transform=False),
        ("three", "strings"),
        family="meta",
        scores="none",
    )
    yield from each(
        "stacking",
        lambda: StackingClassifier(parts()[:2], LogisticRegression(), cv=3),
        ("two", "three", "strings"),
        family="meta",
    )
    yield from each(
        "stacking-zipmap",
        lambda: StackingClassifier(parts()[:2], LogisticRegression(), cv=3),
        ("strings",),
        family="meta",
        options=NONE,
    )


def cases():
    for part in (linear, svm, trees, neighbours_bayes_and_others, meta):
        yield from part()


if __name__ == "__main__":
    main(cases)

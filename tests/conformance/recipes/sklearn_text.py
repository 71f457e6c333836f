"""Texts by TF-IDF, counts and hashes of words and characters, with scikit-learn's classifiers behind."""

import numpy as np
from common import case, main
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import ComplementNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

import tabular
from sklearn_cases import MADE_WITH, labels, zipped

REQUIREMENTS = "classical"
TEXTS = [
    "the film was wonderful and warm",
    "a wonderful story with a warm end",
    "I loved the music of this film",
    "loved it, every minute was good",
    "the plot was dull and far too long",
    "a dull film with a bad end",
    "I hated the music, it was bad",
    "too long, too loud, and boring",
    "the match ended two to one",
    "a late goal won the match",
    "their goal keeper saved the day",
    "the team won its last match",
] * 2
KINDS = np.array((["good"] * 4 + ["bad"] * 4 + ["sport"] * 4) * 2)
ASKED = [
    "a warm and good film",
    "bad music and a dull plot",
    "the team won",
    "nothing of these words: xyzzy",
    "Too LOUD!",
    "",
]
# The default locale of the converter is missing on many servers.
SEPARATORS = {"locale": "C"}


def text(name, vectorizer, last, *, two=False, zipmap=False, tokens=None, **said):
    said = {"family": "texts", "task": "text-classification", "made_with": MADE_WITH, "committed": True} | said

    def build(folder):
        wanted = np.where(KINDS == "sport", "sport", "film") if two else KINDS
        regression = said["task"] == "text-regression"
        if regression:
            wanted = np.array([len(one) for one in TEXTS], np.float32)
        first = vectorizer()
        model = make_pipeline(first, *last()).fit(TEXTS, wanted)
        options = {id(first): SEPARATORS | ({"tokenexp": tokens} if tokens else {})}
        if not regression and not zipmap:
            options[id(model)] = {"zipmap": False}
        onnx = to_onnx(model, initial_types=[("text", StringTensorType([None, 1]))], options=options)
        (folder / "model.onnx").write_bytes(onnx.SerializeToString())
        column = np.array(ASKED, object).reshape(-1, 1)
        network = list(tabular.Network(folder / "model.onnx").run(column).values())
        if regression:
            theirs = np.asarray(model.predict(ASKED), np.float32)
            tabular.same(theirs, network[0], 1e-4, "predict")
            expected = [{"value": value} for value in theirs.reshape(-1)]
        else:
            own = labels(model.predict(ASKED))
            tabular.same(own, labels(network[0]), 0, "predict")
            got = zipped(network[1], list(model.classes_)) if isinstance(network[1], list) else np.asarray(network[1])
            theirs = np.asarray(model.predict_proba(ASKED), np.float32)
            tabular.same(theirs, got, 1e-4, "predict_proba")
            pairs = zip(own, tabular.by_class(labels(model.classes_), theirs), strict=True)
            expected = [{"label": label, "scores": one} for label, one in pairs]
        return [
            {"json": {"text": ASKED}, "expected": expected},
            {"json": {"text": ASKED[0]}, "expected": expected[:1]},
            {"json": {"inputs": ASKED[1:]}, "expected": expected[1:]},
        ]

    return case("skl2onnx", f"text-{name}", build, **said)


def cases():
    logistic = lambda: [LogisticRegression()]  # noqa: E731
    # Words of one letter too, as the network's tokenizer takes them.
    words = {"token_pattern": "[a-zA-Z]+"}
    more = {"tokens": "[a-zA-Z]+"}
    yield text("tfidf", lambda: TfidfVectorizer(**words), logistic, **more)
    yield text("tfidf-zipmap", lambda: TfidfVectorizer(**words), logistic, zipmap=True, **more)
    yield text("tfidf-two", lambda: TfidfVectorizer(**words), logistic, two=True, **more)
    yield text("tfidf-default-tokens", TfidfVectorizer, logistic)
    yield text("tfidf-pairs", lambda: TfidfVectorizer(ngram_range=(1, 2), max_features=60, **words), logistic, **more)
    yield text("tfidf-sublinear", lambda: TfidfVectorizer(sublinear_tf=True, **words), logistic, **more)
    yield text(
        "tfidf-stop-words", lambda: TfidfVectorizer(stop_words=["the", "a", "was", "and"], **words), logistic, **more
    )
    yield text("tfidf-case", lambda: TfidfVectorizer(lowercase=False, **words), logistic, **more)
    yield text(
        "tfidf-plain-norm",
        lambda: TfidfVectorizer(norm="l1", use_idf=False, **words),
        logistic,
        committed=False,
        **more,
    )
    yield text("tfidf-letters", lambda: TfidfVectorizer(analyzer="char", ngram_range=(1, 2), max_features=80), logistic)
    yield text(
        "tfidf-letters-case",
        lambda: TfidfVectorizer(analyzer="char", lowercase=False, max_features=40),
        logistic,
        committed=False,
    )
    yield text("counts", lambda: CountVectorizer(**words), logistic, **more)
    yield text("counts-binary", lambda: CountVectorizer(binary=True, **words), lambda: [MultinomialNB()], **more)
    yield text("multinomial", lambda: CountVectorizer(**words), lambda: [MultinomialNB()], **more)
    yield text("complement", lambda: TfidfVectorizer(**words), lambda: [ComplementNB()], **more)
    yield text(
        "sgd", lambda: TfidfVectorizer(**words), lambda: [SGDClassifier(loss="log_loss", random_state=0)], **more
    )
    yield text(
        "calibrated",
        lambda: TfidfVectorizer(**words),
        lambda: [CalibratedClassifierCV(LinearSVC(random_state=0), cv=2)],
        **more,
    )
    yield text("ovr", lambda: TfidfVectorizer(**words), lambda: [OneVsRestClassifier(LogisticRegression())], **more)
    yield text(
        "forest",
        lambda: TfidfVectorizer(max_features=30, **words),
        lambda: [RandomForestClassifier(3, max_depth=3, random_state=0)],
        **more,
    )
    yield text(
        "svd", lambda: TfidfVectorizer(**words), lambda: [TruncatedSVD(4, random_state=0), LogisticRegression()], **more
    )
    yield text("ridge", lambda: TfidfVectorizer(**words), lambda: [Ridge()], task="text-regression", **more)


if __name__ == "__main__":
    main(cases)

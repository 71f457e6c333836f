"""Sentiment by TF-IDF and logistic regression, as ONNX.

Input `text` string [N, 1]; outputs `label` (string) and `probabilities` [N, 3].
Tokens are runs of ASCII letters, digits and underscores; only ASCII letters are
lower-cased.  ONNX Runtime's StringNormalizer wants the locale en_US.UTF-8 unless
the node names another, and minimal systems lack it: the node names "C" here.  The
graph is compared with scikit-learn on every evaluation sentence and on texts that
are not ASCII.  No sublinear_tf: skl2onnx 1.20 turns its 1 + log(n) into log(1 + n).

    python tfidf.py SOURCES OUT_FOLDER EVAL_TSV
"""
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

import text_data
from onnx_tools import save

TOKEN = r"[a-zA-Z0-9_]+"
AWKWARD = [
    "", " ", "a", "!!!", "I don't like it.", "NOT GOOD, NOT BAD", "café déjà vu", "CAFÉ DÉJÀ VU", "Ärger über Öl",
    "ÄRGER ÜBER ÖL", "İstanbul'da çok güzel", "STRASSE Straße", "很好 good 很差 bad", "Привет, мир", "naïve—but great",
    "good\u00a0film", "bad\tfilm\nreally", "😀 great 😀", "2x4 b2b 10/10", "under_score __init__",
]  # fmt: skip


def ascii_lower(texts):
    upper = {c: c + 32 for c in range(ord("A"), ord("Z") + 1)}
    return [t.translate(upper) for t in texts]


def main(sources, folder, eval_tsv):
    rows = text_data.training_rows(text_data.load(sources))
    pipeline = make_pipeline(
        TfidfVectorizer(token_pattern=TOKEN, ngram_range=(1, 2), min_df=2, max_features=20000),
        LogisticRegression(C=2.0, max_iter=1000),
    )
    with threadpool_limits(1):  # the order of sums, and so the last bits, depend on the threads
        pipeline.fit(ascii_lower(r.text for r in rows), [text_data.LABELS[r.label] for r in rows])
    model = to_onnx(
        pipeline,
        initial_types=[("text", StringTensorType([None, 1]))],
        options={id(pipeline): {"zipmap": False}},
        target_opset={"": 17, "ai.onnx.ml": 3},
    )
    for node in model.graph.node:
        if node.op_type == "StringNormalizer":
            node.attribute.append(helper.make_attribute("locale", "C"))
    out = Path(folder) / "model.onnx"
    save(model, out)
    (Path(folder) / "labels.txt").write_text("\n".join(pipeline.classes_) + "\n")

    pipeline[0].lowercase = False  # Python's lower() also changes letters that are not ASCII
    session = onnxruntime.InferenceSession(str(out))
    texts, labels = text_data.read_eval(eval_tsv)
    for name, batch in [("evaluation", texts), ("awkward", AWKWARD)]:
        _, ours = session.run(None, {"text": np.array(batch, dtype=object)[:, None]})
        theirs = pipeline.predict_proba(ascii_lower(batch))
        worst = np.abs(ours - theirs).max(1)
        print(f"{name}: {len(batch)} texts, largest difference from scikit-learn {worst.max():.2g}")
        assert worst.max() < 1e-4, [ascii(t) for t, d in zip(batch, worst) if d >= 1e-4][:5]
    predicted = pipeline.predict(ascii_lower(texts))
    print("accuracy", np.mean(predicted == np.array(text_data.LABELS)[labels]))


if __name__ == "__main__":
    main(*sys.argv[1:])

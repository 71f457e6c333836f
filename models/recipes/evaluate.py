"""Accuracy of every bundled model file.

    python evaluate.py MODELS [SOURCES]

MODELS is the folder with the models.  With SOURCES, the unpacked packages, the
image model is compared as well.  One row a run, one thread, CPU.
"""
import csv
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from text_data import LABELS, read_eval


def open_session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def report(name, predicted, truth, classes):
    predicted, truth = np.array(predicted), np.array(truth)
    lines, scores = [], []
    for c, label in enumerate(classes):
        hits = np.sum((predicted == c) & (truth == c))
        precision = hits / max(1, np.sum(predicted == c))
        recall = hits / max(1, np.sum(truth == c))
        f1 = 2 * hits / max(1, np.sum(predicted == c) + np.sum(truth == c))
        scores.append(f1)
        lines.append(f"    {label:10s} precision {precision:.3f}  recall {recall:.3f}  F1 {f1:.3f}  n {np.sum(truth == c)}")
    print(f"{name}: {len(truth)} rows, accuracy {np.mean(predicted == truth):.4f}, macro-F1 {np.mean(scores):.4f}")
    print("\n".join(lines), flush=True)


def minilm(folder, texts, labels):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def run(session, batch):
        encoded = tokenizer.encode_batch(batch)
        ids = np.int64([e.ids for e in encoded])
        mask = np.int64([e.attention_mask for e in encoded])
        return softmax(session.run(None, {"input_ids": ids, "attention_mask": mask})[0])

    reference = None
    for file in ("model.onnx", "model.int8.onnx"):
        session = open_session(folder / file)
        alone = np.concatenate([run(session, [t]) for t in texts])
        report(f"sentiment-minilm/{file}", alone.argmax(1), labels, LABELS)
        if reference is None:
            reference = alone
        else:
            same = np.mean(alone.argmax(1) == reference.argmax(1))
            print(f"    same answer as float32: {same:.4f}")
        picked = np.random.default_rng(0).permutation(len(texts))[:200]
        batched = np.concatenate([run(session, [texts[i] for i in picked[j : j + 8]]) for j in range(0, 200, 8)])
        worst = np.abs(batched - alone[picked]).max()
        print(f"    200 sentences alone and in batches of 8: probabilities differ by at most {worst:.1e}")


def tfidf(folder, texts, labels):
    session = open_session(folder / "model.onnx")
    probabilities = session.run(["probabilities"], {"text": np.array(texts, dtype=object)[:, None]})[0]
    classes = (folder / "labels.txt").read_text().split()
    assert classes == LABELS
    report("sentiment-tfidf/model.onnx", probabilities.argmax(1), labels, classes)


def iris(folder, path):
    classes = (folder / "labels.txt").read_text().split()
    with open(path, newline="") as f:
        rows = list(csv.reader(f))[1:]
    features = np.float32([[float(v) for v in r[:4]] for r in rows])
    predicted = open_session(folder / "model.onnx").run(["label"], {"features": features})[0]
    report("iris/model.onnx", predicted, [classes.index(r[4]) for r in rows], classes)


def images(folder, sources):
    from PIL import Image

    import image_photos

    crops = np.stack(list(image_photos.comparison_set(sources)))
    free = len(image_photos.free_photos()) * 20
    photos = image_photos.labelled_photos(sources)
    whole = np.stack([image_photos.preprocess(Image.open(p)) for p, _ in photos])
    reference = None
    for file in ("model.onnx", "model.int8.onnx"):
        session = open_session(folder / file)

        def answers(x):
            return np.concatenate([session.run(None, {"input": one[None]})[0] for one in x]).argmax(1)

        right = np.sum(answers(whole) == [c for _, c in photos])
        print(f"efficientnet-lite0/{file}: {right} of {len(photos)} labelled photos right")
        found = answers(crops)
        if reference is not None:
            same = found == reference
            print(f"    same answer as float32 on {len(same)} random crops: {same.mean():.4f}")
            print(f"    ({same[:free].mean():.4f} on {free} of photos used in calibration, {same[free:].mean():.4f} on the others)")
        else:
            reference = found


def main(models, sources=None):
    models = Path(models)
    texts, labels = read_eval(models / "eval/sentiment.tsv")
    iris(models / "iris", models / "eval/iris.csv")
    tfidf(models / "sentiment-tfidf", texts, labels)
    minilm(models / "sentiment-minilm", texts, labels)
    if sources:
        images(models / "efficientnet-lite0", sources)


if __name__ == "__main__":
    main(*sys.argv[1:])

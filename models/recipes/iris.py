"""Iris: scaler and logistic regression, as ONNX.

Input `features` [N, 4] float; outputs `label` and `probabilities` [N, 3].
Trained on 105 of the 150 rows; the other 45 are written to the evaluation file.

    python iris.py OUT_FOLDER EVAL_CSV
"""
import csv
import sys
from pathlib import Path

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from onnx_tools import save

NAMES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]  # cm


def main(folder, eval_csv):
    data = load_iris()
    x = data.data.astype(np.float32)
    train_x, test_x, train_y, test_y = train_test_split(
        x, data.target, test_size=0.3, random_state=42, stratify=data.target
    )
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    folds = cross_val_score(pipeline, x, data.target, cv=5)
    pipeline.fit(train_x, train_y)
    model = to_onnx(
        pipeline,
        initial_types=[("features", FloatTensorType([None, 4]))],
        options={id(pipeline): {"zipmap": False}},
        target_opset={"": 17, "ai.onnx.ml": 3},
    )
    save(model, Path(folder) / "model.onnx")
    classes = [str(n) for n in data.target_names]
    (Path(folder) / "labels.txt").write_text("\n".join(classes) + "\n")
    with open(eval_csv, "w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(NAMES + ["label"])
        for row, y in zip(test_x, test_y):
            writer.writerow([f"{v:.1f}" for v in row] + [classes[y]])
    print(f"held out {(pipeline.predict(test_x) == test_y).mean():.3f}, 5-fold {folds.mean():.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])

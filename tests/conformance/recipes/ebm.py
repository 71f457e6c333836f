"""Explainable boosting machines of InterpretML by ebm2onnx: columns of one axis, and parts as a third output."""

import ebm2onnx
import numpy as np
import pandas
from common import case, main, plain
from interpret.glassbox import ExplainableBoostingClassifier, ExplainableBoostingRegressor

import tabular

REQUIREMENTS = "ebm"
SMALL = {"interactions": 0, "max_rounds": 10, "outer_bags": 1, "max_bins": 8, "random_state": 0, "n_jobs": 1}
MADE_WITH = ("interpret-core", "ebm2onnx")


def table(text: bool) -> pandas.DataFrame:
    made = pandas.DataFrame(tabular.numbers(), columns=["age", "fare", "height", "weight"])
    if text:
        made["town"] = np.array(["S", "C", "Q"])[np.random.default_rng(0).integers(0, 3, len(made))].astype(object)
        made["town"] = made["town"].astype(object)
    return made


def feed(network, rows):
    return {one.name: tabular.typed(rows[one.name].to_numpy(), one.type) for one in network.inputs}


def ebm(name, kind, *, text=True, matrix=False, **options):
    """`kind`: value, or a tuple of class names. `matrix`: one input [N,4] in the place of columns [N]."""

    def build(folder):
        data = table(text)
        if kind == "value":
            model, wanted = ExplainableBoostingRegressor(**SMALL), tabular.values(tabular.numbers())
        else:
            model = ExplainableBoostingClassifier(**SMALL)
            groups = tabular.groups(len(data))
            wanted = np.array(kind)[groups if len(kind) == 3 else (groups > 0).astype(int)]
        model.fit(data, wanted)
        dtype = ("features", "float") if matrix else ebm2onnx.get_dtype_from_pandas(data)
        onnx = ebm2onnx.to_onnx(model, dtype, **options)
        (folder / "model.onnx").write_bytes(onnx.SerializeToString())
        rows = data.iloc[7:12].reset_index(drop=True)
        network = tabular.Network(folder / "model.onnx")
        inputs = {"features": rows.to_numpy(np.float32)} if matrix else feed(network, rows)
        got = dict(zip([one.name for one in network.outputs], network.session.run(None, inputs), strict=True))
        theirs = model.predict(rows)
        if kind == "value":
            theirs = np.asarray(theirs, np.float32)
            tabular.same(theirs, got["prediction"], 1e-4, "predict")
            expected = [{"value": value} for value in theirs]
        else:
            tabular.same(theirs.astype(str), got["prediction"].astype(str), 0, "predict")
            expected = [{"label": str(label)} for label in theirs]
            if "probabilities" in got:
                chances = model.predict_proba(rows).astype(np.float32)
                tabular.same(chances, got["probabilities"], 1e-4, "predict_proba")
                scores = tabular.by_class([str(one) for one in model.classes_], chances)
                expected = [one | {"scores": two} for one, two in zip(expected, scores, strict=True)]
        if matrix:
            return tabular.requests(inputs["features"], expected)
        cells = {name: plain(column.to_numpy()) for name, column in rows.items()}
        records = [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
        if kind != "value" and "probabilities" not in got:
            # A label alone is no task's answer everywhere; the tensors are right in any case.
            data = [
                {"name": one, "shape": [len(column)], "datatype": "BYTES" if one == "town" else "FP32", "data": column}
                for one, column in cells.items()
            ]
            return [{"v2": {"inputs": data}, "expected_v2": {"prediction": plain(got["prediction"])}}]
        return [
            {"json": {"features": cells}, "expected": expected},
            {"json": {"features": records}, "expected": expected},
            {"json": {"features": records[-1:]}, "expected": expected[-1:]},
        ]

    task = "tabular-regression" if kind == "value" else "tabular-classification"
    if kind != "value" and not options.get("predict_proba"):
        task = [task, "tensors"]
    return case("ebm2onnx", name, build, family="explainable boosting", task=task, made_with=MADE_WITH, committed=True)


def cases():
    three, words, two = (0, 1, 2), ("low", "middle", "high"), (0, 1)
    for explain, end in ((False, ""), (True, "-parts")):
        yield ebm(f"two{end}", two, predict_proba=True, explain=explain)
        yield ebm(f"three{end}", three, predict_proba=True, explain=explain)
        yield ebm(f"strings{end}", words, predict_proba=True, explain=explain)
        yield ebm(f"value{end}", "value", explain=explain)
    yield ebm("label-alone", two)
    yield ebm("numbers-alone", words, text=False, predict_proba=True)
    yield ebm("matrix-strings", words, text=False, matrix=True, predict_proba=True)
    yield ebm("matrix-value", "value", text=False, matrix=True)


if __name__ == "__main__":
    main(cases)

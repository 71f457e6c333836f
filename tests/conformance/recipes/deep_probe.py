"""A network that says which tokens it was given: their sum, their sum by position, their number and their types."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

NAMES = ["sum", "weighted", "count", "types"]


def network(inputs: list[str]) -> onnx.ModelProto:
    shape = ["batch_size", "sequence_length"]
    given = [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in inputs]
    nodes = [helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT)]
    if "attention_mask" in inputs:
        nodes.append(helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT))
    else:
        nodes += [helper.make_node("Mul", ["ids", "zero"], ["none"]), helper.make_node("Add", ["none", "one"], ["mask"])]
    if "token_type_ids" in inputs:
        nodes += [
            helper.make_node("Cast", ["token_type_ids"], ["typed"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["typed", "mask"], ["types_seen"]),
        ]
    else:
        nodes.append(helper.make_node("Mul", ["mask", "zero"], ["types_seen"]))
    nodes += [
        helper.make_node("Mul", ["ids", "mask"], ["seen"]),
        # Counted over what is not padding, so that it does not matter at which side that is.
        helper.make_node("CumSum", ["mask", "axis"], ["position"]),
        helper.make_node("Mod", ["position", "period"], ["weight"], fmod=1),
        helper.make_node("Mul", ["seen", "weight"], ["product"]),
    ]
    for name, part in zip(NAMES, ["seen", "product", "mask", "types_seen"], strict=True):
        nodes.append(helper.make_node("ReduceSum", [part, "axes"], [name], keepdims=1))
    nodes.append(helper.make_node("Concat", NAMES, ["logits"], axis=1))
    constants = {
        "zero": np.float32(0), "one": np.float32(1), "axis": np.int64(1), "period": np.float32(31),
        "axes": np.int64([1]),
    }  # fmt: skip
    # ONNX Runtime warns of constants that nothing uses.
    needed = {name for node in nodes for name in node.input}
    constants = {name: value for name, value in constants.items() if name in needed}
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch_size", len(NAMES)])
    graph = helper.make_graph(
        nodes, "probe", given, [output], [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def scores(encoding: dict, inputs: list[str]) -> dict:
    ids = np.asarray(encoding["input_ids"], dtype=np.int64)
    mask = np.asarray(encoding.get("attention_mask", np.ones_like(ids)))
    types = np.asarray(encoding.get("token_type_ids", np.zeros_like(ids))) if "token_type_ids" in inputs else ids * 0
    ids, types = ids[mask == 1], types[mask == 1]
    weights = np.arange(1, len(ids) + 1) % 31
    numbers = [ids.sum(), (ids * weights).sum(), len(ids), types.sum()]
    found = dict(zip(NAMES, (float(number) for number in numbers), strict=True))
    return {"label": max(found, key=found.get), "scores": found}


def write(folder: Path, inputs: list[str], **config) -> None:
    onnx.save(network(inputs), folder / "model.onnx")
    said = {
        "architectures": ["BertForSequenceClassification"], "model_type": "bert", "max_position_embeddings": 512,
        "id2label": dict(enumerate(NAMES)), "label2id": {name: number for number, name in enumerate(NAMES)},
    } | config  # fmt: skip
    (folder / "config.json").write_text(json.dumps(said, indent=2) + "\n")


def requests(folder: Path, inputs: list[str], texts: list, pairs: list, limit: int | None = None) -> list[dict]:
    """What transformers' tokenizer of the same folder makes of each text alone; asked for all together.

    `limit` is the network's own, where the tokenizer has none.
    """
    from transformers import AutoTokenizer

    made = []
    for rows in (texts, pairs):
        if not rows:
            continue
        expected = []
        for row in rows:
            # Anew for each, since a call may change the state that the next begins with.
            tokenizer = AutoTokenizer.from_pretrained(folder)
            arguments = row if isinstance(row, list) else [row]
            expected.append(scores(tokenizer(*arguments, truncation=True, max_length=limit), inputs))
        made.append({"json": {"text": rows}, "query": "raw_scores=true", "expected": expected})
    return made

"""Small networks of every datatype and shape that the clients' tests ask for.

Their inputs fit no task, so that onnxd serves them through the Open Inference Protocol alone.
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

DATATYPES = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


def value(name: str, datatype: str, shape: list | None):
    return helper.make_tensor_value_info(name, DATATYPES[datatype], shape)


def write(models: Path, name: str, nodes: list, inputs: list, outputs: list, constants=()) -> None:
    """models/NAME/model.onnx, and in model.toml that tensors go in and out as they are."""
    graph = helper.make_graph(nodes, name, inputs, outputs, list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    folder = models / name
    folder.mkdir()
    save(model, folder / "model.onnx")
    (folder / "model.toml").write_text('task = "tensors"\n')


def constant(name: str, array: np.ndarray):
    return numpy_helper.from_array(array, name)


def write_all(models: Path) -> None:
    node = helper.make_node
    for datatype in DATATYPES:
        shape = ["rows", "columns"]
        write(
            models,
            f"identity-{datatype.lower()}",
            [node("Identity", ["x"], ["y"])],
            [value("x", datatype, shape)],
            [value("y", datatype, shape)],
        )
    # Rank 0 in and out.
    write(
        models,
        "scalar",
        [node("Add", ["x", "one"], ["y"])],
        [value("x", "FP32", [])],
        [value("y", "FP32", [])],
        [constant("one", np.float32(1))],
    )
    # The model that Triton's own examples ask.
    shape = ["batch", 16]
    write(
        models,
        "sum-difference",
        [node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]), node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"])],
        [value("INPUT0", "INT32", shape), value("INPUT1", "INT32", shape)],
        [value("OUTPUT0", "INT32", shape), value("OUTPUT1", "INT32", shape)],
    )
    # Inputs of several types and ranks, two of which share an axis.
    write(
        models,
        "mixed",
        [node("Identity", ["text"], ["same"]), node("Mul", ["floats", "scale"], ["scaled"]),
         node("Not", ["flags"], ["flipped"])],
        [value("text", "BYTES", ["n"]), value("floats", "FP32", ["n", 2, "m"]),
         value("scale", "FP32", []), value("flags", "BOOL", [2])],
        [value("same", "BYTES", ["n"]), value("scaled", "FP32", ["n", 2, "m"]),
         value("flipped", "BOOL", [2])],
    )
    # Axis 0 has a length of its own.
    write(
        models,
        "fixed",
        [node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)],
        [value("x", "FP32", [4, 3])],
        [value("y", "FP32", [4])],
        [constant("axes", np.array([1], np.int64))],
    )
    # The axes' number is left open.
    write(
        models,
        "anyshape",
        [node("Shape", ["x"], ["shape"]), node("Neg", ["x"], ["y"])],
        [value("x", "FP32", None)],
        [value("shape", "INT64", ["rank"]), value("y", "FP32", None)],
    )
    # As many outputs as the values say, so that an answer's shape is not the request's.
    write(
        models,
        "nonzero",
        [node("NonZero", ["x"], ["where"])],
        [value("x", "FP32", ["n", "m"])],
        [value("where", "INT64", [2, "found"])],
    )
    write(
        models,
        "scores",
        [node("Softmax", ["logits"], ["probabilities"])],
        [value("logits", "FP32", ["batch", 5])],
        [value("probabilities", "FP32", ["batch", 5])],
    )
    slow(models)


def slow(models: Path) -> None:
    """`turns` times a product of matrices, so that a request takes as long as a test wants."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["going"], ["on"]),
         helper.make_node("MatMul", ["before", "matrix"], ["after"])],
        "turn",
        [value("turn", "INT64", []), value("going", "BOOL", []), value("before", "FP32", [128, 128])],
        [value("on", "BOOL", []), value("after", "FP32", [128, 128])],
    )
    write(
        models,
        "slow",
        [helper.make_node("Loop", ["turns", "", "matrix"], ["last"], body=body),
         helper.make_node("ReduceSum", ["last"], ["sum"], keepdims=0)],
        [value("turns", "INT64", [])],
        [value("sum", "FP32", [])],
        [constant("matrix", np.eye(128, dtype=np.float32))],
    )

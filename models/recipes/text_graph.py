"""The sentiment model as an ONNX graph: MiniLM encoder, mean pooling, linear head.

Inputs `input_ids` and `attention_mask` int64 [batch, sequence]; output `logits`
[batch, 3].  This file writes float32 with standard operators only; the int8
graph (text_quantize.py) overrides some of its parts.

    python text_graph.py WEIGHTS.safetensors OUT.onnx
"""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

LAYERS, HEADS, HIDDEN, EPSILON = 6, 12, 384, 1e-12
HEAD_DIM = HIDDEN // HEADS


class Graph:
    domains = {"": 17}

    def __init__(self, weights):
        self.weights = weights
        self.nodes, self.initializers = [], {}

    def constant(self, name, value):
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.array(value, order="C"), name)
        return name

    def node(self, op, inputs, output, **attributes):
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    # the parts

    def words(self):
        table = self.constant("words", self.weights["embeddings.word_embeddings.weight"])
        return self.node("Gather", [table, "input_ids"], "word", axis=0)

    def embeddings(self):
        w = self.weights
        types = w["embeddings.token_type_embeddings.weight"][0]
        table = self.constant("positions", w["embeddings.position_embeddings.weight"] + types)
        zero, one = self.constant("zero", np.int64([0])), self.constant("index1", np.int64(1))
        self.node("Shape", ["input_ids"], "shape")
        self.node("Gather", ["shape", one], "length", axis=0)
        self.node("Unsqueeze", ["length", zero], "length1")
        self.node("Slice", [table, zero, "length1", zero], "position")
        return self.node("Add", [self.words(), "position"], "embedded")

    def norm_weights(self, name):
        return [self.constant(f"{name}.{k}", self.weights[f"{name}.{k}"]) for k in ("weight", "bias")]

    def norm(self, x, name, out):
        return self.node("LayerNormalization", [x, *self.norm_weights(name)], out, axis=-1, epsilon=EPSILON)

    def residual_norm(self, x, before, name, out):
        return self.norm(self.node("Add", [x, before], out + ".sum"), name, out)

    def linear(self, x, name, out):
        weight = self.constant(name + ".weight", self.weights[name + ".weight"].T)
        bias = self.constant(name + ".bias", self.weights[name + ".bias"])
        return self.node("Add", [self.node("MatMul", [x, weight], out + ".product"), bias], out)

    def mask(self):
        """What is added to the attention scores: -10,000 at padding."""
        one, axes = self.constant("one", np.float32(1)), self.constant("axes12", np.int64([1, 2]))
        self.node("Sub", [one, "maskf"], "padding")
        self.node("Mul", ["padding", self.constant("minus", np.float32(-10000))], "penalty")
        return self.node("Unsqueeze", ["penalty", axes], "attention_bias")

    def attention(self, q, k, v, out):
        split = self.constant("split", np.int64([0, 0, HEADS, HEAD_DIM]))

        def heads(x, order):
            x = self.node("Reshape", [x, split], x + ".split")
            return self.node("Transpose", [x], x + ".heads", perm=order)

        q, k, v = heads(q, [0, 2, 1, 3]), heads(k, [0, 2, 3, 1]), heads(v, [0, 2, 1, 3])
        x = self.node("MatMul", [q, k], out + ".scores")
        x = self.node("Mul", [x, self.constant("scale", np.float32(1 / np.sqrt(HEAD_DIM)))], out + ".scaled")
        x = self.node("Add", [x, "attention_bias"], out + ".masked")
        x = self.node("Softmax", [x], out + ".softmax", axis=-1)
        x = self.node("Transpose", [self.node("MatMul", [x, v], out + ".mixed")], out + ".back", perm=[0, 2, 1, 3])
        return self.node("Reshape", [x, self.constant("merge", np.int64([0, 0, HIDDEN]))], out)

    def gelu(self, x, out):
        one, half = self.constant("one", np.float32(1)), self.constant("half", np.float32(0.5))
        y = self.node("Div", [x, self.constant("sqrt2", np.float32(np.sqrt(2)))], out + ".scaled")
        y = self.node("Add", [self.node("Erf", [y], out + ".erf"), one], out + ".plus1")
        return self.node("Mul", [self.node("Mul", [x, y], out + ".product"), half], out)

    def layer(self, i, x):
        theirs, name = f"encoder.layer.{i}.", f"layer{i}."
        q, k, v = (
            self.linear(x, f"{theirs}attention.self.{part}", name + part) for part in ("query", "key", "value")
        )
        y = self.attention(q, k, v, name + "context")
        y = self.linear(y, theirs + "attention.output.dense", name + "attended")
        x = self.residual_norm(y, x, theirs + "attention.output.LayerNorm", name + "norm1")
        y = self.gelu(self.linear(x, theirs + "intermediate.dense", name + "inner"), name + "gelu")
        y = self.linear(y, theirs + "output.dense", name + "outer")
        return self.residual_norm(y, x, theirs + "output.LayerNorm", name + "norm2")

    def build(self):
        w = self.weights
        self.node("Cast", ["attention_mask"], "maskf", to=TensorProto.FLOAT)
        x = self.norm(self.embeddings(), "embeddings.LayerNorm", "norm0")
        self.mask()
        for i in range(LAYERS):
            x = self.layer(i, x)
        axis1, axis2 = self.constant("axis1", np.int64([1])), self.constant("axis2", np.int64([2]))
        self.node("Mul", [x, self.node("Unsqueeze", ["maskf", axis2], "mask3")], "unpadded")
        self.node("ReduceSum", ["unpadded", axis1], "sum", keepdims=0)
        self.node("ReduceSum", ["maskf", axis1], "count", keepdims=1)
        self.node("Max", ["count", self.constant("tiny", np.float32(1e-9))], "count1")
        self.node("Div", ["sum", "count1"], "pooled")
        head = [self.constant(n, w[n]) for n in ("classifier.weight", "classifier.bias")]
        self.node("Gemm", ["pooled", *head], "logits", transB=1)
        inputs = ["input_ids", "attention_mask"]
        graph = helper.make_graph(
            self.nodes,
            "sentiment_minilm",
            [helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "sequence"]) for n in inputs],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
            list(self.initializers.values()),
        )
        opsets = [helper.make_opsetid(d, v) for d, v in self.domains.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        return model


if __name__ == "__main__":
    onnx.save(Graph(load_file(sys.argv[1])).build(), sys.argv[2])

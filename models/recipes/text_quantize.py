"""The sentiment model in int8, such that no text changes another's answer.

Dynamic quantisation takes its scale from the whole batch, padding included, so
an answer would depend on the texts it was batched with.  Here the scales of the
activations are constants, found on training sentences; each product is
QuantizeLinear and MatMulIntegerToFloat.  As in image_quantize.py the scales of
the weights keep two neighbouring products below 16 bits' limit.  Word embeddings
are int8 with a scale per word.  Attention, GELU and the norms stay float32, fused
(operators of ONNX Runtime's own domain: this file is for its CPU provider only).

    python text_quantize.py SOURCES WEIGHTS.safetensors TOKENIZER.json OUT.onnx
"""
import argparse

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto
from safetensors.numpy import load_file
from tokenizers import Tokenizer

import text_data
from image_quantize import weight_scales
from text_graph import EPSILON, HEADS, Graph

ORT = "com.microsoft"
CALIBRATION = 600  # sentences


class Fused(Graph):
    """The float32 graph with ONNX Runtime's fused operators."""

    domains = {"": 17, ORT: 1}

    def residual_norm(self, x, before, name, out):
        inputs = [x, before, *self.norm_weights(name)]
        return self.node("SkipLayerNormalization", inputs, out, domain=ORT, epsilon=EPSILON)

    def mask(self):
        return self.node("Cast", ["attention_mask"], "mask32", to=TensorProto.INT32)

    def attention(self, q, k, v, out):
        inputs = [q, k, v, "", "mask32"]
        return self.node("MultiHeadAttention", inputs, out, domain=ORT, num_heads=HEADS, mask_filter_value=-10000.0)

    def gelu(self, x, out):
        return self.node("Gelu", [x], out, domain=ORT)


class Int8(Fused):
    """`ranges`: (low, high) of the input of each linear part that is to be int8."""

    def __init__(self, weights, ranges):
        super().__init__(weights)
        self.ranges = ranges

    def words(self):
        table = self.weights["embeddings.word_embeddings.weight"]
        scale = np.abs(table).max(1, keepdims=True) / 127
        self.constant("words", np.rint(table / scale).astype(np.int8))
        self.constant("words.scale", scale)
        self.node("Gather", ["words", "input_ids"], "word8", axis=0)
        self.node("Gather", ["words.scale", "input_ids"], "word.scale", axis=0)
        self.node("Cast", ["word8"], "word.unscaled", to=TensorProto.FLOAT)
        return self.node("Mul", ["word.unscaled", "word.scale"], "word")

    def linear(self, x, name, out):
        if x not in self.ranges:
            return super().linear(x, name, out)
        low, high = self.ranges[x]
        scale = np.float32((high - low) / 255)
        zero = np.uint8(np.clip(np.rint(-low / scale), 0, 255))
        own = [self.constant(x + ".scale", scale), self.constant(x + ".zero", zero)]
        if x + ".int8" not in {n.name for n in self.nodes}:
            self.node("QuantizeLinear", [x, *own], x + ".int8")
        weight = self.weights[name + ".weight"]
        scales = weight_scales(weight, spatial=False).astype(np.float32)
        rounded = np.rint(weight / scales[:, None]).astype(np.int8)
        inputs = [
            x + ".int8",
            self.constant(name + ".weight", rounded.T),
            own[0],
            self.constant(name + ".scale", scales),
            own[1],
            self.constant(name + ".zero", np.zeros(len(scales), np.int8)),
            self.constant(name + ".bias", self.weights[name + ".bias"]),
        ]
        return self.node("MatMulIntegerToFloat", inputs, out, domain=ORT)


def linear_inputs(model):
    names = {t.name for t in model.graph.initializer}
    return list(dict.fromkeys(n.input[0] for n in model.graph.node if n.op_type == "MatMul" and n.input[1] in names))


def activations(sources, weights, tokenizer):
    """{input of a linear part: its values over the calibration sentences}"""
    model = Graph(weights).build()
    names = linear_inputs(model)
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in names)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    tokenizer = Tokenizer.from_file(tokenizer)
    found = {n: [] for n in names}
    for row in text_data.training_rows(text_data.load(sources))[:CALIBRATION]:
        ids = np.int64([tokenizer.encode(row.text).ids])
        for name, value in zip(names, session.run(names, {"input_ids": ids, "attention_mask": np.ones_like(ids)})):
            found[name].append(value[0])
    return {n: np.concatenate(v) for n, v in found.items()}


def value_range(values, percentile):
    """The values without the given share of extremes on each side."""
    if percentile == 100:
        return min(values.min(), 0.0), max(values.max(), 0.0)
    low, high = np.percentile(values, [100 - percentile, percentile])
    return min(low, 0.0), max(high, 0.0)


def main(args):
    weights = load_file(args.weights)
    found = activations(args.sources, weights, args.tokenizer)
    ranges = {n: value_range(v, args.percentile) for n, v in found.items()}
    onnx.save(Int8(weights, ranges).build(), args.out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("sources", "weights", "tokenizer", "out"):
        parser.add_argument(name)
    parser.add_argument("--percentile", type=float, default=100)
    main(parser.parse_args())

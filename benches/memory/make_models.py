"""Writes folders of text models with random weights, of the sizes that people serve.

Usage: benches/memory/make_models.py OUT_FOLDER [NAME ...]. Without names, all of MODELS.

They are BERTs with the operators that exporters write. Their answers mean nothing; their memory
and their time are those of trained models. Tokenizer and class names are models/sentiment-minilm's;
a table of words may have more rows than that tokenizer has tokens. What is written is the same at
every run. Files are written a block at a time, so a model of 2 GB needs no 2 GB here.
"""

import json
import math
import shutil
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

TEXT_MODEL = Path(__file__).parents[2] / "models/sentiment-minilm"
CLASSES = ("negative", "neutral", "positive")
POSITIONS, TYPES, EPSILON = 512, 2, 1e-12
DATA_FILE = "model.onnx.data"
# Values that are made and written at once: 16 MiB.
BLOCK = 4 * 1024 * 1024
# Tensors begin at a page in the file of external data, so that they can be mapped.
ALIGNMENT = 4096


@dataclass(frozen=True)
class Size:
    layers: int
    hidden: int
    heads: int
    vocabulary: int
    # Else an encoder, which answers embeddings.
    classifier: bool
    # Weights in a file of their own, as they must be from 2 GB on.
    external: bool = False


MODELS = {
    "bert-base": Size(12, 768, 12, 30_522, classifier=True),
    "xlmr-base": Size(12, 768, 12, 250_002, classifier=False),
    "xlmr-large": Size(24, 1024, 16, 250_002, classifier=False, external=True),
    "tiny": Size(2, 64, 2, 30_522, classifier=True),
    "tiny-external": Size(2, 64, 2, 30_522, classifier=True, external=True),
}


@dataclass(frozen=True)
class Weight:
    """A tensor whose values are made when it is written."""

    name: str
    shape: tuple[int, ...]
    # What the values spread around: 1 for the scales of a norm, else 0.
    mean: float = 0.0

    def bytes(self) -> int:
        return 4 * math.prod(self.shape)

    def blocks(self) -> Iterator[bytes]:
        # Seeded by the name, so that a weight does not depend on those before it.
        random = np.random.default_rng(zlib.crc32(self.name.encode()))
        left = math.prod(self.shape)
        while left:
            count = min(left, BLOCK)
            values = random.standard_normal(count, dtype=np.float32)
            yield (values * np.float32(0.02) + np.float32(self.mean)).astype("<f4").tobytes()
            left -= count


class Bert:
    """Collects the network's nodes, its small constants, and its weights without their values."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.nodes: list = []
        self.constants: dict[str, TensorProto] = {}
        self.weights: list[Weight] = []

    def node(self, op: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants[name] = numpy_helper.from_array(np.array(value), name)
        return name

    def weight(self, name: str, *shape: int, mean: float = 0.0) -> str:
        self.weights.append(Weight(name, shape, mean))
        return name

    # The parts.

    def linear(self, x: str, name: str, rows: int, columns: int) -> str:
        weight = self.weight(name + ".weight", rows, columns)
        bias = self.weight(name + ".bias", columns)
        return self.node("Add", [bias, self.node("MatMul", [x, weight], name + ".product")], name)

    def norm(self, x: str, name: str) -> str:
        scale = self.weight(name + ".weight", self.size.hidden, mean=1.0)
        bias = self.weight(name + ".bias", self.size.hidden)
        return self.node("LayerNormalization", [x, scale, bias], name, axis=-1, epsilon=EPSILON)

    def embeddings(self) -> str:
        size, zero = self.size, self.constant("zero", np.int64([0]))
        words = self.weight("embeddings.words", size.vocabulary, size.hidden)
        positions = self.weight("embeddings.positions", POSITIONS, size.hidden)
        types = self.weight("embeddings.types", TYPES, size.hidden)
        self.node("Shape", ["input_ids"], "shape")
        self.node("Gather", ["shape", self.constant("axis1", np.int64([1]))], "length", axis=0)
        self.node("Slice", [positions, zero, "length", zero], "position")
        self.node("Gather", [words, "input_ids"], "word", axis=0)
        self.node("Gather", [types, "token_type_ids"], "type", axis=0)
        self.node("Add", ["word", "type"], "word_and_type")
        self.node("Add", ["word_and_type", "position"], "embedded")
        return self.norm("embedded", "embeddings.norm")

    def mask(self) -> None:
        """What is added to the attention's scores: the least number at padding, else 0."""
        axes = self.constant("axes12", np.int64([1, 2]))
        self.node("Unsqueeze", ["attention_mask", axes], "mask4")
        self.node("Cast", ["mask4"], "maskf", to=TensorProto.FLOAT)
        self.node("Sub", [self.constant("one", np.float32(1)), "maskf"], "padding")
        least = self.constant("least", np.float32(np.finfo(np.float32).min))
        self.node("Mul", ["padding", least], "attention_bias")

    def heads(self, x: str, order: list[int]) -> str:
        split = self.node("Reshape", [x, "split"], x + ".split")
        return self.node("Transpose", [split], x + ".heads", perm=order)

    def attention(self, x: str, name: str) -> str:
        hidden = self.size.hidden
        q = self.heads(self.linear(x, name + ".query", hidden, hidden), [0, 2, 1, 3])
        k = self.heads(self.linear(x, name + ".key", hidden, hidden), [0, 2, 3, 1])
        v = self.heads(self.linear(x, name + ".value", hidden, hidden), [0, 2, 1, 3])
        scores = self.node("MatMul", [q, k], name + ".scores")
        scaled = self.node("Div", [scores, "root_of_head"], name + ".scaled")
        masked = self.node("Add", [scaled, "attention_bias"], name + ".masked")
        softmax = self.node("Softmax", [masked], name + ".softmax", axis=-1)
        mixed = self.node("MatMul", [softmax, v], name + ".mixed")
        back = self.node("Transpose", [mixed], name + ".back", perm=[0, 2, 1, 3])
        merged = self.node("Reshape", [back, "merge"], name + ".merged")
        return self.linear(merged, name + ".output", hidden, hidden)

    def gelu(self, x: str) -> str:
        scaled = self.node("Div", [x, "root_of_2"], x + ".scaled")
        plus_1 = self.node("Add", [self.node("Erf", [scaled], x + ".erf"), "one"], x + ".plus1")
        return self.node("Mul", [self.node("Mul", [x, plus_1], x + ".both"), "half"], x + ".gelu")

    def layer(self, x: str, name: str) -> str:
        hidden = self.size.hidden
        attended = self.attention(x, name + ".attention")
        x = self.norm(self.node("Add", [attended, x], name + ".sum1"), name + ".norm1")
        inner = self.gelu(self.linear(x, name + ".intermediate", hidden, 4 * hidden))
        outer = self.linear(inner, name + ".output", 4 * hidden, hidden)
        return self.norm(self.node("Add", [outer, x], name + ".sum2"), name + ".norm2")

    def encoder(self) -> str:
        head = self.size.hidden // self.size.heads
        self.mask()
        self.constant("split", np.int64([0, 0, self.size.heads, head]))
        self.constant("merge", np.int64([0, 0, self.size.hidden]))
        self.constant("root_of_head", np.float32(math.sqrt(head)))
        self.constant("root_of_2", np.float32(math.sqrt(2)))
        self.constant("half", np.float32(0.5))
        x = self.embeddings()
        for number in range(self.size.layers):
            x = self.layer(x, f"layer{number}")
        return x

    def logits(self, x: str) -> str:
        hidden, first = self.size.hidden, self.constant("first", np.int64(0))
        token = self.node("Gather", [x, first], "first_token", axis=1)
        pooled = self.node("Tanh", [self.linear(token, "pooler", hidden, hidden)], "pooled")
        return self.linear(pooled, "classifier", hidden, len(CLASSES))

    def graph(self) -> GraphProto:
        """The whole graph without its weights."""
        x = self.encoder()
        if self.size.classifier:
            x, output, shape = self.logits(x), "logits", ["batch", len(CLASSES)]
        else:
            output, shape = "last_hidden_state", ["batch", "sequence", self.size.hidden]
        self.node("Identity", [x], output)
        inputs = ("input_ids", "attention_mask", "token_type_ids")
        rows = ["batch", "sequence"]
        return helper.make_graph(
            self.nodes,
            "bert",
            [helper.make_tensor_value_info(name, TensorProto.INT64, rows) for name in inputs],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
            list(self.constants.values()),
        )


# Writing. Protobuf's library makes a message in memory as a whole, so those that hold the weights
# are put together here, from fields with a key and a length before each.


def varint(value: int) -> bytes:
    """A number as protobuf writes it, seven bits a byte, the lowest first."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])


def field(message: type, name: str, length: int) -> bytes:
    """What stands before a field of so many bytes."""
    return varint(message.DESCRIPTOR.fields_by_name[name].number << 3 | 2) + varint(length)


def tensor(weight: Weight) -> TensorProto:
    """The weight without its values."""
    return TensorProto(name=weight.name, dims=weight.shape, data_type=TensorProto.FLOAT)


def head(weight: Weight) -> bytes:
    """What stands before the weight's values in a graph."""
    start = tensor(weight).SerializeToString() + field(TensorProto, "raw_data", weight.bytes())
    return field(GraphProto, "initializer", len(start) + weight.bytes()) + start


def write_model(file: BinaryIO, graph: GraphProto, weights: list[Weight]) -> None:
    """Writes the model with the weights in it."""
    opsets = [helper.make_opsetid("", 17)]
    model = ModelProto(ir_version=8, producer_name="onnxd", opset_import=opsets)
    others, heads = graph.SerializeToString(), [head(weight) for weight in weights]
    length = len(others) + sum(map(len, heads)) + sum(weight.bytes() for weight in weights)
    file.write(model.SerializeToString() + field(ModelProto, "graph", length) + others)
    for before, weight in zip(heads, weights):
        file.write(before)
        file.writelines(weight.blocks())


def write_external(data: BinaryIO, weight: Weight) -> TensorProto:
    """Writes the values into the file of external data; the tensor names their place."""
    data.write(bytes(-data.tell() % ALIGNMENT))
    named = tensor(weight)
    named.data_location = TensorProto.EXTERNAL
    place = {"location": DATA_FILE, "offset": data.tell(), "length": weight.bytes()}
    for key, value in place.items():
        named.external_data.add(key=key, value=str(value))
    data.writelines(weight.blocks())
    return named


def config(size: Size) -> dict:
    """What stands in config.json: the bundled model's, with this one's sizes."""
    described = json.loads((TEXT_MODEL / "config.json").read_text())
    described |= {
        "hidden_size": size.hidden,
        "intermediate_size": 4 * size.hidden,
        "num_attention_heads": size.heads,
        "num_hidden_layers": size.layers,
        "vocab_size": size.vocabulary,
    }
    if not size.classifier:
        described["architectures"] = ["BertModel"]
        for key in ("problem_type", "id2label", "label2id"):
            del described[key]
    return described


def write_folder(folder: Path, size: Size) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(TEXT_MODEL / "tokenizer.json", folder / "tokenizer.json")
    (folder / "config.json").write_text(json.dumps(config(size), indent=2) + "\n")
    bert = Bert(size)
    graph, weights = bert.graph(), bert.weights
    if size.external:
        with (folder / DATA_FILE).open("wb") as data:
            graph.initializer.extend([write_external(data, weight) for weight in weights])
        weights = []
    with (folder / "model.onnx").open("wb") as file:
        write_model(file, graph, weights)


def main() -> None:
    if len(sys.argv) < 2 or any(name not in MODELS for name in sys.argv[2:]):
        sys.exit(f"usage: {sys.argv[0]} OUT_FOLDER [NAME ...], of {', '.join(MODELS)}")
    for name in sys.argv[2:] or MODELS:
        folder = Path(sys.argv[1]) / name
        write_folder(folder, MODELS[name])
        size = sum(file.stat().st_size for file in folder.iterdir())
        print(f"{folder}: {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()

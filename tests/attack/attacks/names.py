"""Names: many of them, and long ones."""

import itertools
import json

from attack import LARGE, Attack, Context, Figure
from attacks.crowd import crowd
from http1 import form, post

# What an answer may take to whom sends such names, while several do.
SLOWEST_SECONDS = 1
SLOWEST_LONG_SECONDS = 3


def columns(count: int, value: str = "0") -> bytes:
    return ("{" + ",".join(f'"{n:x}":{value}' for n in range(count)) + "}").encode()


def many() -> list[bytes]:
    """Of 1.5 to 2 MB each, in every form that has names."""
    body, kind = form([("features", columns(160_000))])
    features = b'{"features": %b}'
    return [
        post("/predict/iris", body, kind),
        post("/predict/iris", features % columns(160_000)),
        post("/predict/iris", features % (b"[" + columns(160_000) + b"]")),
        post("/v1/models/iris:predict", b'{"instances": [%b]}' % columns(160_000)),
        post("/v1/models/iris:predict", b'{"inputs": %b}' % columns(160_000, "[0]")),
        post("/v2/models/iris/infer", b'{"parameters": %b, "inputs": []}' % columns(160_000)),
        post("/models/sentiment-minilm", b'{"inputs": "a", "parameters": %b}' % columns(160_000)),
        post("/predict/iris", features % columns(160_000) + b"\n", "application/x-ndjson"),
    ]


def long() -> list[bytes]:
    """One name of 31 MB, wherever there is one."""
    name = b"a" * LARGE
    tensor = b'{"inputs": [{"name": "%b", "shape": [1], "datatype": "FP32", "data": [0]}]}'
    return [
        post("/predict/iris", b'{"features": {"%b": 0}}' % name),
        post("/predict/iris", b'{"features": [{"%b": 0}]}' % name),
        post("/predict", b'{"%b": 0}' % name),
        post("/predict", b'{"features": [[1,2,3,4]], "model": "%b"}' % name),
        post("/predict/iris", b'{"features": [[1,2,3,4]], "parameters": {"%b": 0}}' % name),
        post("/v2/models/iris/infer", tensor % name),
        post("/v2/models/iris/infer", json.dumps({"inputs": [], "outputs": [{"name": name.decode()}]}).encode()),
        post("/v1/models/iris:predict", b'{"inputs": {"%b": [0]}}' % name),
        post("/models/sentiment-minilm", b'{"inputs": "a", "parameters": {"%b": 0}}' % name),
        post("/predict/iris", b'{"features": {"%b": 0}}\n' % name, "application/x-ndjson"),
    ]


def send(context: Context, requests: list[bytes], attackers: int, most: float) -> list[Figure]:
    turns = itertools.count()
    context.begin()

    def ask(_: int) -> tuple[float, int]:
        which = next(turns) % len(requests)
        return context.ask(requests[which]).seconds, which

    told = crowd(context, attackers, ask)
    seconds, which = max(told, default=(0.0, 0))
    start = requests[which][:40].decode(errors="replace").split(" HTTP")[0]
    # Where not one was answered in the time, the first did not end either.
    return [Figure("slowest answer", seconds if told else 60.0, most, "s", start)]


ATTACKS = [
    Attack(
        "many_names",
        1,
        "forms, JSON and lines with 160,000 names each, two at a time",
        lambda context: send(context, many(), 2, SLOWEST_SECONDS),
        seconds=12,
        short=6,
    ),
    Attack(
        "long_names",
        1,
        "names of 33 MB of columns, fields, models, tensors and parameters, two at a time",
        lambda context: send(context, long(), 2, SLOWEST_LONG_SECONDS),
        seconds=12,
    ),
]

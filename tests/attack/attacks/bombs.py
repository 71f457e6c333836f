"""Bodies of 33 MB that are made of the smallest things there are, on every route."""

import itertools
import time
from collections.abc import Callable

from attack import LARGE, MB, Attack, Context, Figure
from attacks.crowd import crowd
from http1 import form, post
from http2 import field, varint

# A request of B bytes may take 6 B + 1 MB; the allocator's own share and the good client's photos beside it.
GROWTH_MB = 6 * LARGE / MB + 1 + 60
SLOWEST_SECONDS = 5


def filled(start: bytes, part: bytes, end: bytes, size: int = LARGE) -> bytes:
    """`start`, then `part` with commas as often as there is room, then `end`."""
    count = (size - len(start) - len(end)) // (len(part) + 1)
    return start + b",".join([part] * count) + end


def json_bombs() -> list[tuple[str, Callable[[], bytes]]]:
    """A name of each, and how its request is made: all at once are a gigabyte."""
    infer, v1, iris = "/v2/models/iris/infer", "/v1/models/iris:predict", "/predict/iris"
    hugging_face, text = "/models/sentiment-minilm", "/predict/sentiment-minilm"
    tensor = b'{"inputs": [{"name": "features", "datatype": "FP32", '
    bodies = [
        (iris, b'{"features": [', b'{"":0}', b"]}"),
        (iris, b'{"features": [', b"{}", b"]}"),
        (iris, b'{"features": [', b"[]", b"]}"),
        (iris, b'{"features": [', b"0", b"]}"),
        (iris, b'{"features": [[', b'""', b"]]}"),
        (iris, b'{"features": {"a": [', b"0", b"]}}"),
        (iris, b'{"features": [[0,0,0,0]], "parameters": {"a": [', b"0", b"]}}"),
        (iris, b'{"features": [[0,0,0,0]], "model": [', b"[]", b"]}"),
        (text, b'{"text": [', b'""', b"]}"),
        (text, b'{"text": [[', b'""', b"]]}"),
        ("/predict", b'{"image": [', b'""', b"]}"),
        (infer, b'{"parameters": {"a": [', b"0", b']}, "inputs": []}'),
        (infer, b'{"inputs": [', b'{"name":"","shape":[],"datatype":""}', b"]}"),
        (infer, tensor + b'"shape": [', b"1", b'], "data": [0]}]}'),
        (infer, tensor + b'"shape": [1,4], "data": [', b"[]", b"]}]}"),
        (infer, tensor + b'"shape": [1,4], "data": [', b"0", b"]}]}"),
        (infer, b'{"inputs": [], "outputs": [', b'{"name":""}', b"]}"),
        (infer, b'{"inputs": [', b'{"name":"a","shape":[0],"datatype":"FP32","data":[]}', b"]}"),
        (
            infer,
            b'{"inputs": [{"name":"features","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}], "outputs": [',
            b'{"name":"label","parameters":{"binary_data":true}}',
            b"]}",
        ),
        (v1, b'{"instances": [', b"{}", b"]}"),
        (v1, b'{"instances": [', b'{"":0}', b"]}"),
        (v1, b'{"instances": [', b"[]", b"]}"),
        (v1, b'{"inputs": [', b"0", b"]}"),
        (hugging_face, b'{"inputs": [', b'""', b"]}"),
        (hugging_face, b'{"inputs": "a", "parameters": {"a": [', b"0", b"]}}"),
    ]

    def made(path: str, start: bytes, part: bytes, end: bytes) -> Callable[[], bytes]:
        return lambda: post(path, filled(start, part, end))

    def line() -> bytes:
        return post(iris, filled(b'{"features": [', b'{"":0}', b"]}\n"), "application/x-ndjson")

    def different() -> bytes:
        """Records, each with a name that no other has."""
        return post(iris, b'{"features": [%b]}' % b",".join(b'{"%x":0}' % number for number in range(2_000_000)))

    def form_of(parts: list[tuple[str, bytes]]) -> bytes:
        body, kind = form(parts)
        return post(iris, body, kind)

    return [
        *(
            (f"{path} {start[-40:].decode()}{part.decode()}", made(path, start, part, end))
            for path, start, part, end in bodies
        ),
        ("records of different names", different),
        ("a line", line),
        ("16 million blank lines", lambda: post(iris, b"\n\r" * (LARGE // 2), "application/x-ndjson")),
        ("a form of one field", lambda: form_of([("features", filled(b"[", b'{"":0}', b"]"))])),
        ("a form of 470,000 parts", lambda: form_of([("text", b"a")] * (LARGE // 70))),
    ]


def higher(worst: tuple[float, str], value: float, name: str) -> tuple[float, str]:
    """The worse of the two; a peak that only stands is no later input's."""
    return (value, name) if value > worst[0] + 1e-6 else worst


def one_by_one(context: Context) -> list[Figure]:
    """Each alone, so that the peak is a single request's."""
    # In CI only every fourth of them.
    bombs = json_bombs() if context.seconds > 15 else json_bombs()[::4]
    start, worst, slowest = context.memory_mb(), (0.0, ""), (0.0, "")
    for name, make in bombs:
        try:
            seconds = context.ask(make()).seconds
        except OSError:
            seconds = 60.0
        worst = higher(worst, context.memory_mb("VmHWM") - start, name)
        slowest = higher(slowest, seconds, name)
    return [
        Figure("one body of 33 MB takes", worst[0], GROWTH_MB, "MB", worst[1]),
        Figure("slowest answer", slowest[0], SLOWEST_SECONDS, "s", slowest[1]),
    ]


def together(context: Context) -> list[Figure]:
    """Four at a time, again and again."""
    bombs = [make() for _, make in json_bombs()[::4]]
    context.begin()
    turns = itertools.count()
    answers = crowd(context, 4, lambda _: context.ask(bombs[next(turns) % len(bombs)]).status)
    return [Figure("answered by a 500", answers.count(500), 0, f"of {len(answers)}")]


def empty_messages(context: Context) -> list[Figure]:
    """gRPC's repeated fields without content, two bytes each."""
    start, worst = context.memory_mb(), (0.0, "")
    head = field(1, b"iris")
    shape = varint(3 << 3 | 2) + varint(LARGE // 2) + b"\1" * (LARGE // 2)
    messages = {
        "inputs": head + b"\x2a\0" * (LARGE // 2),
        "outputs": head + b"\x32\0" * (LARGE // 2),
        "raw_input_contents": head + b"\x3a\0" * (LARGE // 2),
        "parameters": head + b"\x22\0" * (LARGE // 2),
        "a shape": head + field(5, field(1, b"features") + field(2, b"FP32") + shape),
        "contents": head + field(5, field(1, b"features") + field(2, b"BYTES") + field(5, b"\x42\0" * (LARGE // 2))),
        "numbers": head + field(5, field(1, b"features") + field(2, b"FP32") + field(5, field(2, b"\1" * LARGE))),
        "unknown fields": head + b"\xfa\x07\0" * (LARGE // 3),
    }
    slowest = (0.0, "")
    context.begin()
    for name, payload in messages.items():
        # Long over: what is known by then is enough.
        if time.monotonic() > context.end + 30:
            break
        began = context.cpu_seconds()
        try:
            with context.http2(timeout=60) as connection:
                connection.grpc("ModelInfer", payload)
        except OSError:
            pass
        slowest = higher(slowest, context.cpu_seconds() - began, name)
        worst = higher(worst, context.memory_mb("VmHWM") - start, name)
    return [
        Figure("one message of 33 MB takes", worst[0], GROWTH_MB, "MB", worst[1]),
        Figure("processor for one", slowest[0], SLOWEST_SECONDS, "s", slowest[1]),
    ]


ATTACKS = [
    Attack(
        "tiny_things",
        2,
        "33 MB of the smallest objects, lists, strings, lines and parts on every route, one by one",
        one_by_one,
        seconds=20,
        short=7,
        growth_mb=GROWTH_MB,
    ),
    Attack("tiny_together", 2, "the same, four at a time", together, seconds=10),
    Attack(
        "grpc_empties",
        2,
        "gRPC with 16 million empty inputs, outputs, contents, parameters, axes",
        empty_messages,
        seconds=10,
        growth_mb=GROWTH_MB,
    ),
]

"""Bodies and heads that take much for what they are."""

import itertools

from attack import LARGE, Attack, Context, Figure
from attacks.crowd import crowd
from http1 import head, post

FEW = b'{"features": [[5.1, 3.5, 1.4, 0.2]]}'
SLOWEST_SECONDS = 5
# Of 256 texts, each as many tokens as the model takes: ten seconds on an idle server.
LONG_TEXTS_SECONDS = 30
SMALL_MB = 150


def ask_each(
    context: Context, requests: list[bytes], attackers: int = 3, slowest: float = SLOWEST_SECONDS
) -> list[Figure]:
    turns = itertools.count()
    context.begin()

    def ask(_: int) -> tuple[float, int]:
        answer = context.ask(requests[next(turns) % len(requests)])
        return answer.seconds, answer.status

    told = crowd(context, attackers, ask)
    return [
        Figure(
            "slowest answer",
            max((seconds for seconds, _ in told), default=0.0),
            slowest,
            "s",
            f"of {len(told)}",
        ),
        Figure("answered by a 500", sum(status == 500 for _, status in told), 0),
    ]


def chunks(context: Context) -> list[Figure]:
    """A million chunks of one byte; heads of a megabyte; ten thousand headers."""
    json = {"content-type": "application/json", "transfer-encoding": "chunked"}
    ones = b"".join(b"1\r\n%c\r\n" % byte for byte in FEW[:-1] + b" " * 1_000_000 + b"}") + b"0\r\n\r\n"
    requests = [
        head("POST", "/predict/iris", json) + ones,
        head("GET", "/v2/health/live", {"x-a": "a" * 1_000_000}),
        head("GET", "/v2/health/live", {f"x-{number}": "a" for number in range(10_000)}),
        head("GET", "/v2/health/live?" + "a" * 1_000_000),
    ]
    return ask_each(context, requests)


def deep(context: Context) -> list[Figure]:
    """Lists and objects in each other, to 10 million, wherever JSON is read."""
    lists, objects = b"[" * 10_000_000, b'{"a":' * 2_000_000
    few = b"[" * 127 + b"1" + b"]" * 127
    requests = [
        post(path, b'{"%b": %b' % (name, nested))
        for path, name in (
            ("/predict/iris", b"features"),
            ("/predict", b"unknown"),
            ("/predict/iris", b"parameters"),
            ("/v1/models/iris:predict", b"instances"),
            ("/v1/models/iris:predict", b"inputs"),
            ("/v2/models/iris/infer", b"inputs"),
            ("/v2/models/iris/infer", b"parameters"),
            ("/models/sentiment-minilm", b"inputs"),
        )
        for nested in (lists, objects, few + b"}")
    ]
    tensor = b'{"inputs": [{"name": "features", "shape": [1,4], "datatype": "FP32", "data": %b}]}'
    requests.append(post("/v2/models/iris/infer", tensor % lists))
    requests.append(post("/predict/iris", b'{"features": %b}\n' % lists, "application/x-ndjson"))
    return ask_each(context, requests)


def texts(context: Context) -> list[Figure]:
    """Texts that are long, or whose tokens are many."""
    path, list_of = "/predict/sentiment-minilm", b'{"text": [%b]}'
    kinds = [
        b"." * 16_000,
        "\u4e2d".encode() * 5_000,
        b"a" * 16_000,
        "e\u0301".encode() * 5_000,
        b"\\u0000" * 2_600,
        b" " * 16_000,
    ]
    requests = [
        post(path, b"." * 10_000_000, "text/plain"),
        post(path, b'{"text": "%b"}' % (b"." * LARGE)),
        *(post(path, list_of % b",".join([b'"%b%d"' % (kind, n) for n in range(256)])) for kind in kinds),
        *(
            post("/predict/sentiment-tfidf", list_of % b",".join([b'"%b%d"' % (kind, n) for n in range(256)]))
            for kind in kinds
        ),
    ]
    return ask_each(context, requests, attackers=2, slowest=LONG_TEXTS_SECONDS)


HELD = [
    Attack("chunks", 0, "a million chunks of one byte, heads of 1 MB, 10,000 headers", chunks, 8, growth_mb=SMALL_MB),
    Attack("deep_json", 0, "lists and objects in each other, 10 million deep, on every route", deep, 8),
    Attack("long_texts", 0, "texts of 10 and 33 MB; 256 texts of 16 KB of dots, Chinese, accents, spaces", texts, 12),
]

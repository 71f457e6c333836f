"""Bodies that are larger than they look."""

import gzip
import zlib

from attack import LARGEST, Attack, Context, Figure
from attacks.crowd import crowd
from http1 import post
from http2 import field, grpc_block, message

FEW = b'{"features": [[5.1, 3.5, 1.4, 0.2]]}'
# From the last byte of a bomb to its refusal: less than it would take to inflate all of it.
REFUSED_SECONDS = 0.5
# What is inflated before it is known to be too much, by several at once, and the rest of the server.
GROWTH_MB = 300


def bomb(size: int) -> bytes:
    """`size` spaces before a small body."""
    squeezed = zlib.compressobj(9, zlib.DEFLATED, 31)
    part = b" " * (1 << 20)
    whole = b"".join(squeezed.compress(part) for _ in range(size >> 20))
    return whole + squeezed.compress(FEW) + squeezed.flush()


def honest(context: Context) -> int:
    """Of an ordinary body, an ordinary message of gRPC; how many are not taken."""
    rows = b'{"features": [%b]}' % b",".join(b"[%d.5,3.%d,1.4,0.2]" % (n % 9, n % 7) for n in range(200))
    answers = [
        context.ask(post("/predict/iris", gzip.compress(rows), content_encoding="gzip")).status == 200,
        context.ask(
            post(
                "/v2/models/iris/infer",
                gzip.compress(
                    b'{"inputs": [{"name": "features", "shape": [1,4], "datatype": "FP32", "data": [1,2,3,4]}]}'
                ),
                content_encoding="gzip",
            )
        ).status
        == 200,
    ]
    with context.http2() as connection:
        # FP32 of 16 bytes as raw contents.
        tensor = field(1, b"features") + field(2, b"FP32") + field(3, b"\1\4")
        payload = field(1, b"iris") + field(5, tensor) + field(7, bytes(16))
        headers, _ = connection.ask(
            grpc_block("ModelInfer", {"grpc-encoding": "gzip"}), message(gzip.compress(payload), compressed=True)
        )
        answers.append(headers.get("grpc-status") == "0")
    return answers.count(False)


def run(context: Context) -> list[Figure]:
    missing = honest(context)
    small, large = bomb(64 << 20), bomb(512 << 20)
    twice = gzip.compress(large)
    requests = [
        post("/predict/iris", small, content_encoding="gzip"),
        post("/predict/iris", large, content_encoding="gzip"),
        post("/predict/iris", twice, content_encoding="gzip, gzip"),
        post("/predict/iris", bomb(LARGEST - (1 << 20)), content_encoding="gzip"),
        post("/predict/iris", large, "application/x-ndjson", content_encoding="gzip"),
        post("/predict/iris", gzip.compress(FEW)[:-12], content_encoding="gzip"),
        post("/predict/iris", gzip.compress(FEW) * 2_000, content_encoding="gzip"),
    ]

    context.begin()

    def ask(number: int) -> tuple[float, int]:
        if number == 3:
            with context.http2() as connection:
                block = grpc_block("ModelInfer", {"grpc-encoding": "gzip"})
                headers, _ = connection.ask(block, message(large, compressed=True))
                return 0.0, 200 if headers.get("grpc-status") == "0" else 413
        answer = context.ask(requests[context.random.randrange(len(requests))])
        return answer.seconds, answer.status

    told = crowd(context, 4, ask)
    taken = sum(status < 400 for _, status in told)
    return [
        Figure("honest bodies not taken", missing, 0, "of 3"),
        Figure("bombs taken", taken, 0, f"of {len(told)}"),
        Figure("slowest refusal", max((seconds for seconds, _ in told), default=60), REFUSED_SECONDS, "s"),
    ]


ATTACKS = [
    Attack(
        "gzip_bombs", 10, "bodies and messages of 33 to 512 MB in a few hundred KB of gzip", run, 8, growth_mb=GROWTH_MB
    ),
]

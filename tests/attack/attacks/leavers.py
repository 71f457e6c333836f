"""Clients that leave in the middle of what they asked."""

import itertools
import time
from collections.abc import Callable

from attack import Attack, Context, Figure
from good import SOURCE as GOOD
from http1 import Connection, head, post
from http2 import CANCEL, RST_STREAM, Http2, block, frame, grpc_block, message

LEAVERS = 60
# From their leaving until nothing is held for them.
GONE_SECONDS = 1.0
# Of the good client that come or go just then, and of probes.
SPARE = 12
LINES = {"content-type": "application/x-ndjson", "transfer-encoding": "chunked"}
LINE = b'{"features": [[5.1, 3.5, 1.4, 0.2]]}\n'
# How long a client is there before it leaves.
STAYS_SECONDS = 0.5


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream(context: Context, lines: int) -> Connection:
    connection = context.connect(timeout=5)
    connection.send(head("POST", "/predict/iris", LINES))
    connection.socket.setblocking(False)
    for _ in range(lines // 100):
        try:
            connection.socket.send(chunk(LINE * 100))
        except BlockingIOError:
            break
    return connection


def waves(context: Context) -> list[tuple[str, Callable[[], object], Callable[[object], None]]]:
    """Kinds of leaving: a name, how one comes, how it leaves."""

    def over_http2(open_stream: bytes, data: bytes) -> Callable[[], tuple[Http2, int]]:
        def come() -> tuple[Http2, int]:
            connection = context.http2(timeout=5)
            number = connection.open(open_stream)
            connection.send(number, data, end=False)
            return connection, number

        return come

    lines = over_http2(block("POST", "/predict/iris", {"content-type": LINES["content-type"]}), LINE * 10)
    grpc = over_http2(grpc_block("ModelStreamInfer"), message(b"\x0a\x04iris"))

    def reset_stream(client: tuple[Http2, int]) -> None:
        connection, number = client
        connection.socket.sendall(frame(RST_STREAM, 0, number, CANCEL.to_bytes(4, "big")))
        # The connection itself stays a moment, and goes then.
        client[0].connection.close()

    def upload() -> Connection:
        connection = context.connect(timeout=5)
        connection.send(post("/predict/iris", b"[" * 10_000)[:-5_000])
        return connection

    return [
        ("lines, closed", lambda: stream(context, 0), lambda client: client.close()),
        ("lines in work, closed", lambda: stream(context, 2_000), lambda client: client.close()),
        ("unread lines, closed", lambda: stream(context, 200_000), lambda client: client.close()),
        ("unread lines, reset", lambda: stream(context, 200_000), lambda client: client.reset()),
        ("HTTP/2 lines, closed", lines, lambda client: client[0].connection.close()),
        ("HTTP/2 lines, reset", lines, reset_stream),
        ("gRPC stream, closed", grpc, lambda client: client[0].connection.close()),
        ("upload, reset", upload, lambda client: client.reset()),
    ]


def run(context: Context) -> list[Figure]:
    kinds = waves(context)
    if context.seconds < 10:
        kinds = kinds[:3]

    def descriptors() -> int:
        return context.descriptors_but_of(GOOD)

    before = descriptors()
    slowest, most_left = (0.0, ""), 0
    for name, come, leave in itertools.cycle(kinds):
        if not context.goes_on():
            break
        clients = []
        for _ in range(LEAVERS):
            try:
                clients.append(come())
            except OSError:
                pass
        time.sleep(STAYS_SECONDS)
        for client in clients:
            try:
                leave(client)
            except OSError:
                pass
        left = time.monotonic()
        while descriptors() > before + SPARE and time.monotonic() - left < 3:
            time.sleep(0.02)
        slowest = max(slowest, (time.monotonic() - left, name))
        most_left = max(most_left, descriptors() - before)
    left = context.sum_of("onnxd_bulk_lines_in_work")
    return [
        Figure("held for them", slowest[0], GONE_SECONDS, "s", slowest[1]),
        Figure("descriptors then", most_left, SPARE),
        Figure("lines in work then", left, 0),
    ]


ATTACKS = [
    Attack("leavers", 4, "60 clients at a time, with lines, gRPC or uploads, leave in eight ways", run, 20, short=6),
]

"""Who sends little or nothing, and holds what others need."""

import socket
import time
from collections.abc import Callable

from attack import LARGEST, Attack, Context, Figure, image
from http1 import Closed, Connection, head, post
from http2 import SETTINGS, Http2, grpc_block

JSON, LINES = {"content-type": "application/json"}, {"content-type": "application/x-ndjson"}
CHUNKED = {"transfer-encoding": "chunked"}
# A photo at a rate that the server must bear (server.min_body_rate is 1 KiB a second).
UPLOAD_BYTES_A_SECOND = 12_000


def hold(context: Context, count: int, begin: Callable[[int], socket.socket], trickle: bytes = b"") -> None:
    """Keeps `count` connections as `begin` leaves them, and begins anew those that the server ended."""
    held: dict[int, socket.socket] = {}
    while context.goes_on():
        for number in range(count):
            if number in held or not context.goes_on():
                continue
            try:
                held[number] = begin(number)
                held[number].setblocking(False)
            except OSError:
                break
        context.sleep(0.5)
        for number, one in list(held.items()):
            try:
                if one.recv(65_536) == b"":
                    raise Closed
            except BlockingIOError:
                pass
            except OSError:
                one.close()
                del held[number]
                continue
            if trickle:
                try:
                    one.send(trickle)
                except OSError:
                    pass
    for one in held.values():
        one.close()


def begun(context: Context, request: bytes) -> Callable[[int], socket.socket]:
    def begin(_: int) -> socket.socket:
        connection = context.connect(timeout=5)
        connection.send(request)
        return connection.socket

    return begin


def uploads(context: Context) -> list[Figure]:
    """16 that announce 33 MB, 16 that announce nothing; a byte of each now and then."""
    announced = head("POST", "/predict/iris", JSON, LARGEST)
    unknown = head("POST", "/predict/iris", JSON | CHUNKED)
    kinds = [begun(context, announced), begun(context, unknown)]
    hold(context, 32, lambda number: kinds[number % 2](number))
    return []


def places(context: Context) -> list[Figure]:
    """More small requests without their bodies than max_concurrent_requests."""
    hold(context, 700, begun(context, head("POST", "/predict/iris", JSON, 40)))
    return []


def streams(context: Context) -> list[Figure]:
    """Lines and gRPC streams without a word, as many as there are places; and what room for bodies is left."""
    lines = begun(context, head("POST", "/predict/iris", LINES | CHUNKED))
    small = begun(context, head("POST", "/predict/iris", JSON, 30_000))

    def begin(number: int) -> socket.socket:
        if number >= 500:
            return small(number)
        if number % 50:
            return lines(number)
        connection = Http2(context.address, timeout=5)
        # Until the server has told how many it takes.
        while connection.read()[0] != SETTINGS:
            pass
        for _ in range(128):
            connection.open(grpc_block("ModelStreamInfer"))
        return connection.socket

    hold(context, 700, begin)
    return []


def slow_heads(context: Context) -> list[Figure]:
    """3,000 connections: nothing at all, half a head and a byte a second, idle after a request."""
    half = b"POST /predict/iris HTTP/1.1\r\nhost: localhost\r\nx-a: "
    kinds = [begun(context, b""), begun(context, half), begun(context, head("GET", "/v2/health/live"))]
    hold(context, 3_000, lambda number: kinds[number % 3](number), trickle=b"a")
    return []


def connections(context: Context) -> list[Figure]:
    """More connections than server.max_connections, from one address."""
    hold(context, 4_500, begun(context, head("GET", "/v2/health/live")))
    return []


def slow_upload(context: Context) -> list[Figure]:
    """Three photos that come slowly but steadily, while nobody attacks: they must be answered."""
    photo = image("jpeg-640x480.jpg") + bytes(60_000)
    request = post("/predict", photo, "image/jpeg")
    clients: list[Connection] = [context.connect(timeout=40) for _ in range(3)]
    started, sent = time.monotonic(), 0
    while sent < len(request):
        step = request[sent : sent + UPLOAD_BYTES_A_SECOND // 10]
        for client in clients:
            client.send(step)
        sent += len(step)
        time.sleep(max(0.0, started + sent / UPLOAD_BYTES_A_SECOND - time.monotonic()))
    failed = 0
    for client in clients:
        try:
            failed += client.answer().status != 200
        except OSError:
            failed += 1
    return [Figure("slow uploads not answered", failed, 0)]


ATTACKS = [
    Attack("silent_uploads", 3, "32 uploads that announce 33 MB, or nothing, and send nothing", uploads, 10, short=6),
    Attack("silent_places", 3, "700 requests whose small bodies do not come", places, 10),
    Attack(
        "silent_streams", 3, "490 streams of lines, 1,280 of gRPC and 200 small uploads without a word", streams, 10
    ),
    Attack("slow_heads", 3, "3,000 connections without a byte, with half a head, or idle", slow_heads, 12),
    Attack("connections", 3, "4,500 connections from one address, where 4,096 may be open", connections, 12),
    Attack(
        "slow_upload", 3, "no attack: honest photos at 12 kB a second must get through", slow_upload, 12, quiet=True
    ),
]

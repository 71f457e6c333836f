"""Ten times as much as the server can do, in an open loop, from several addresses.

The load generator shares the server's cores. What it takes is kept out of the times: they begin when the
request has been given to the kernel and end when the kernel has the answer's first bytes.
"""

import json
import random
import selectors
import socket
import struct
import time
from dataclasses import dataclass, field

from attack import OTHERS, Attack, Context, Figure, image, percentile
from http1 import SO_TIMESTAMPNS, post

CAPACITY_SECONDS, BELOW_SECONDS, OVER_SECONDS = 3, 5, 7
# What comes first may be a burst, which is to be served: until it is known to be none, it waits, and part of it
# is refused late. Told by itself.
BURST_SECONDS = 2
CLOSED_CLIENTS = 8
# Times of the capacity, and the bounds: accepted p99 at most so many times that at 0.8, and never over 8 s.
BELOW, OVERS = 0.8, (3, 10)
TIMES_BELOW, MOST_SECONDS, REFUSED_MS = 2, 8, 10
# An accepted p99 of so little needs not be halved: the good client's and the generator's own turns.
LEAST_SECONDS = 0.1
# Connections that the generator keeps; more requests than these at once wait in it, and are told as late.
MOST_OPEN = 3_000
# Requests a second: with more the generator takes a core of the server's. What was offered is told.
MOST_A_SECOND = 5_000


@dataclass
class Load:
    """What became of the requests of one rate."""

    offered: int = 0
    seconds: float = 0
    # What was sent before this moment is told apart.
    begins: float = 0
    burst: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    other: int = 0
    # Begun later than they were due by more than 100 ms, since the generator had no time.
    late: int = 0


class Generator:
    """Sends requests at their times over kept connections, without waiting for answers."""

    def __init__(self, context: Context, requests: list[bytes]):
        self.context, self.requests = context, requests
        self.number = 0
        self.idle: list[socket.socket] = []

    def connect(self) -> socket.socket:
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.bind((OTHERS[self.number % len(OTHERS)], 0))
        one.connect(self.context.address)
        return one

    def begin(self) -> tuple[socket.socket, float]:
        request = self.requests[self.number % len(self.requests)]
        self.number += 1
        one = self.idle.pop() if self.idle else self.connect()
        one.settimeout(1)
        try:
            one.sendall(request)
        except OSError:
            one.close()
            one = self.connect()
            one.settimeout(1)
            one.sendall(request)
        sent = time.time()
        one.setblocking(False)
        return one, sent

    def run(self, seconds: float, rate: float | None, burst: float = 0) -> Load:
        """At `rate` a second, Poisson; without one a closed loop, to see what the server can do."""
        looking = selectors.EpollSelector()
        start = time.time()
        load = Load(seconds=seconds, begins=start + burst)
        due, end = start, start + seconds
        drain = end + 15
        open_now = 0
        draws = random.Random(7)
        while True:
            now = time.time()
            if rate is None:
                ready = now < end and open_now < CLOSED_CLIENTS
            else:
                ready = due < end and due <= now and open_now < MOST_OPEN
            if ready:
                try:
                    one, sent = self.begin()
                    looking.register(one, selectors.EVENT_READ, (sent, bytearray()))
                    open_now += 1
                except OSError:
                    load.other += 1
                load.offered += 1
                load.late += rate is not None and now - due > 0.1
                due += draws.expovariate(rate) if rate else 0
                if rate and now < due:
                    continue
            if open_now == 0 and now >= end:
                return load
            if now > drain:
                load.other += open_now
                return load
            wait = 0 if ready else max(0.0, min(due - now if rate and due < end else 0.05, 0.05))
            for key, _ in looking.select(wait):
                if self.receive(key.fileobj, *key.data, load):
                    looking.unregister(key.fileobj)
                    open_now -= 1

    def receive(self, one: socket.socket, sent: float, buffer: bytearray, load: Load) -> bool:
        """Whether the answer has come to its end."""
        try:
            data, ancillary, _, _ = one.recvmsg(1 << 18, 64)
        except BlockingIOError:
            return False
        except OSError:
            data, ancillary = b"", []
        if not data:
            load.other += not buffer
            one.close()
            return True
        if not buffer:
            took = time.time() - sent
            for level, kind, stamp in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                    whole, nanoseconds = struct.unpack("qq", stamp[:16])
                    took = whole + nanoseconds / 1e9 - sent
            status = int(data[9:12])
            if sent < load.begins:
                load.burst.append(max(0.0, took))
            elif status == 200:
                load.accepted.append(max(0.0, took))
            elif status in (429, 503):
                load.refused.append(max(0.0, took))
            else:
                load.other += 1
        buffer += data
        header, separator, body = buffer.partition(b"\r\n\r\n")
        if not separator:
            return False
        at = header.find(b"content-length: ")
        length = int(header[at + 16 :].split(b"\r\n")[0]) if at >= 0 else 0
        if len(body) < length:
            return False
        if b"connection: close" in header:
            one.close()
        else:
            self.idle.append(one)
        return True


def photos() -> list[bytes]:
    """Each a little different, since identical requests share a run."""
    photo = image("jpeg-224x224.jpg")
    return [post("/predict", photo + b"%d" % number, "image/jpeg") for number in range(500)]


def sentences() -> list[bytes]:
    words = "the battery lasts for days and i love it but it broke after a week of use".split()
    draw = random.Random(3)
    texts = [" ".join(draw.choices(words, k=100)) for _ in range(500)]
    return [post("/predict/sentiment-minilm", json.dumps({"text": text}).encode()) for text in texts]


def rows() -> list[bytes]:
    """A thousand rows a request, so that this machine's generator can ask for too many."""
    body = b",".join([b"[5.1,3.5,1.4,0.2]"] * 1_000)
    return [post("/predict/iris?top_k=1", b'{"features": [[%d,3,1,0],%b]}' % (number, body)) for number in range(200)]


def run(context: Context, requests: list[bytes]) -> list[Figure]:
    generator = Generator(context, requests)
    generator.run(1, None)
    closed = generator.run(CAPACITY_SECONDS, None)
    capacity = len(closed.accepted) / closed.seconds
    below = generator.run(BELOW_SECONDS, capacity * BELOW)
    usual = percentile(below.accepted, 99)
    figures = [Figure("p99 at 0.8", usual, MOST_SECONDS, "s", f"capacity {capacity:.0f}/s")]
    for times in OVERS:
        rate = min(capacity * times, MOST_A_SECOND)
        load = generator.run(BURST_SECONDS + OVER_SECONDS, rate, BURST_SECONDS)
        accepted, refused = percentile(load.accepted, 99), percentile(load.refused, 99) * 1e3
        bound = min(MOST_SECONDS, max(TIMES_BELOW * usual, LEAST_SECONDS))
        reached = load.offered / load.seconds / capacity
        told = (
            f"{len(load.accepted)} taken on, {len(load.refused)} refused, {load.other} neither, {reached:.1f} × offered; "
            f"in the first {BURST_SECONDS} s all p99 {percentile(load.burst, 99):.2f} s"
        )
        figures += [
            Figure(f"accepted p99 at {times} ×", accepted, bound, "s", told),
            Figure(f"refused p99 at {times} ×", refused, REFUSED_MS, "ms"),
        ]
        time.sleep(1)
    return figures


SECONDS = CAPACITY_SECONDS + 1 + BELOW_SECONDS + len(OVERS) * (BURST_SECONDS + OVER_SECONDS + 1)
ATTACKS = [
    Attack(
        f"overload_{name}",
        8,
        f"{what} at 0.8, 3 and 10 times what the server can do",
        lambda context, make=make: run(context, make()),
        SECONDS,
    )
    for name, what, make in (
        ("photos", "photos", photos),
        ("texts", "texts of 100 words", sentences),
        ("rows", "a thousand rows a request", rows),
    )
]

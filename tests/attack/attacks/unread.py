"""Answers that are asked for and not read."""

import base64
import contextlib
import json
import socket
import time

from attack import Attack, Context, Figure, image
from http1 import Closed, Connection, head, post
from http2 import CANCEL, GOAWAY, HEADERS, PING, RST_STREAM, WINDOW_UPDATE, Http2, block, frame

# A few hundred KiB a connection, and what is in work for them meanwhile.
KIB_A_CONNECTION = 512
IN_WORK_MB = 100
# One answer of any size may wait on a connection: half of server.max_answers_size, the share of one peer,
# and as much while they are made.
LARGE_MB = 2 * 134 + IN_WORK_MB
# Small enough that the kernel takes little of an answer.
BUFFER = 4_096
ROWS = b'{"features": [' + b",".join([b"[1,2,3,4]"] * 1_024) + b"]}"
CLIENTS_HTTP2, STREAMS, CLIENTS_HTTP1 = 25, 100, 200
ASKED_AT_ONCE, RENEWED_SECONDS = 4, 5


def most_mb(connections: int) -> float:
    return connections * KIB_A_CONNECTION / 1024 + IN_WORK_MB


def grown(context: Context, start: float, connections: int, most: float = 0) -> list[Figure]:
    growth = context.memory_mb("VmHWM") - start
    return [Figure(f"{connections} connections take", growth, most or most_mb(connections), "MB")]


class Reader(Http2):
    """A client that reads statuses and no bodies, and asks until it has its share of answers that wait."""

    def __init__(self, context: Context):
        super().__init__(context.address, timeout=5, window=0)
        self.socket.sendall(frame(WINDOW_UPDATE, 0, 0, (2**30).to_bytes(4, "big")))
        self.asked: set[int] = set()
        self.waiting = 0

    def go_on(self) -> None:
        """Asks a few more and hears what became of those before."""
        ask = block("POST", "/predict/iris", {"content-type": "application/json"})
        self.socket.settimeout(5)
        while self.waiting + len(self.asked) < STREAMS and len(self.asked) < ASKED_AT_ONCE:
            stream = self.open(ask)
            self.asked.add(stream)
            self.send(stream, ROWS)
            if early := self.__dict__.pop("early", None):
                self.hears(early[0], stream, early[1])
        for kind, _, stream, payload in self.others:
            self.hears(kind, stream, payload)
        self.others.clear()
        self.socket.settimeout(0.02)
        with contextlib.suppress(TimeoutError):
            while True:
                kind, _, stream, payload = self.read()
                self.hears(kind, stream, payload)
                if kind == GOAWAY:
                    raise Closed("GOAWAY")

    def hears(self, kind: int, stream: int, payload: bytes) -> None:
        # Each head is read, since those behind it are told by it.
        status = dict(self.decoder.decode(payload)).get(":status") if kind == HEADERS else None
        if kind == HEADERS and stream in self.asked:
            self.asked.discard(stream)
            if status == "200":
                self.waiting += 1
            else:
                self.socket.sendall(frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big")))
        elif kind == RST_STREAM:
            self.asked.discard(stream)


def no_windows(context: Context) -> list[Figure]:
    """Streams of HTTP/2 whose windows are zero, on connections that a small request and a ping keep."""
    start = context.memory_mb()
    clients: list[Reader] = []
    waiting, renewed = 0, time.monotonic()
    while context.goes_on():
        if len(clients) < CLIENTS_HTTP2:
            with contextlib.suppress(OSError):
                clients.append(Reader(context))
        for client in list(clients):
            try:
                client.go_on()
                if time.monotonic() - renewed > RENEWED_SECONDS:
                    client.socket.sendall(frame(PING, 0, 0, bytes(8)))
                    client.open(block("GET", "/v2/health/live"), end=True)
            except OSError:
                clients.remove(client)
                client.connection.close()
        if time.monotonic() - renewed > RENEWED_SECONDS:
            renewed = time.monotonic()
        waiting = max(waiting, sum(client.waiting for client in clients))
    told = grown(context, start, CLIENTS_HTTP2)
    told[0].told = f"{waiting} answers waited at most"
    return told


def http1(context: Context) -> list[Figure]:
    """Requests one after the other on connections of which nothing is read."""
    start = context.memory_mb()
    request = post("/predict/iris", ROWS)
    clients: list[socket.socket] = []
    while context.goes_on():
        while len(clients) < CLIENTS_HTTP1 and context.goes_on():
            try:
                clients.append(context.connect(timeout=5, receive_buffer=BUFFER).socket)
                clients[-1].setblocking(False)
            except OSError:
                context.sleep(0.2)
        for client in list(clients):
            try:
                client.send(request)
            except BlockingIOError:
                pass
            except OSError:
                client.close()
                clients.remove(client)
        context.sleep(0.1)
    return grown(context, start, CLIENTS_HTTP1)


def large(context: Context) -> list[Figure]:
    """The largest answers there are: for each byte sent, many come back."""
    start = context.memory_mb()
    images = json.dumps([base64.b64encode(image("png-rgb-1x1.png")).decode()] * 64)
    request = post("/predict/efficientnet-lite0?top_k=1000", b'{"image": %b}' % images.encode())
    clients: list[Connection] = []
    while context.goes_on():
        if len(clients) < CLIENTS_HTTP1:
            try:
                clients.append(context.connect(timeout=5, receive_buffer=BUFFER))
                clients[-1].send(request)
                clients[-1].send(head("GET", "/openapi.json"))
            except OSError:
                context.sleep(0.2)
        else:
            context.sleep(0.5)
    for client in clients:
        client.close()
    return grown(context, start, CLIENTS_HTTP1, LARGE_MB)


ATTACKS = [
    Attack("http2_unread", 5, "25 connections of HTTP/2 with windows of zero and 100 answers each", no_windows, 15),
    Attack("http1_unread", 5, "200 connections that ask on and read nothing", http1, 12, short=5),
    Attack(
        "large_unread", 5, "200 connections with the largest answers there are, of which nothing is read", large, 12
    ),
]

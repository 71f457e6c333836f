"""Frames of HTTP/2 as they are told to be, and gRPC's messages on them."""

import socket
import struct
import time

from hpack import Decoder

from http1 import Address, Connection

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 4, 5
CANCEL = 8
FRAME = 16_384


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def settings(values: dict[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in values.items()))


def integer(number: int, bits: int, first: int = 0) -> bytes:
    """HPACK's integers."""
    most = (1 << bits) - 1
    if number < most:
        return bytes((first | number,))
    out, number = bytes((first | most,)), number - most
    while number >= 128:
        out, number = out + bytes((number % 128 + 128,)), number // 128
    return out + bytes((number,))


def literal(name: str, value: str) -> bytes:
    """A header that leaves no trace in the table, so that a block can be sent again on any stream."""
    name_bytes, value_bytes = name.encode(), value.encode()
    return b"\0" + integer(len(name_bytes), 7) + name_bytes + integer(len(value_bytes), 7) + value_bytes


def block(method: str, path: str, headers: dict[str, str] | None = None) -> bytes:
    named = {":method": method, ":scheme": "http", ":path": path, ":authority": "localhost"} | (headers or {})
    return b"".join(literal(name, value) for name, value in named.items())


def grpc_block(method: str, headers: dict[str, str] | None = None) -> bytes:
    path = method if "/" in method[1:] else f"/inference.GRPCInferenceService/{method}"
    return block("POST", path, {"content-type": "application/grpc", "te": "trailers"} | (headers or {}))


def message(payload: bytes, compressed: bool = False) -> bytes:
    """gRPC's framing."""
    return bytes((compressed,)) + len(payload).to_bytes(4, "big") + payload


def field(number: int, value: bytes) -> bytes:
    """A field of protobuf that has a length."""
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(number: int) -> bytes:
    out = b""
    while number >= 128:
        out, number = out + bytes((number % 128 + 128,)), number // 128
    return out + bytes((number,))


class Http2:
    """A connection whose windows are large, unless `settings` says otherwise."""

    def __init__(
        self,
        address: Address,
        source: str = "127.0.0.1",
        timeout: float = 30,
        window: int = 2**31 - 1,
        receive_buffer: int = 0,
    ):
        self.connection = Connection(address, source, timeout, receive_buffer)
        self.decoder = Decoder(max_header_list_size=1 << 30)
        start = PREFACE + settings({INITIAL_WINDOW_SIZE: window})
        if window:
            start += frame(WINDOW_UPDATE, 0, 0, (2**31 - 1 - 65_535).to_bytes(4, "big"))
        self.socket.sendall(start)
        self.stream = 1
        # What the server lets us send: of the connection, and of each stream from its start.
        self.window, self.initial = 65_535, 65_535
        self.windows: dict[int, int] = {}
        # What came of other streams while a body was sent.
        self.others: list[tuple[int, int, int, bytes]] = []

    @property
    def socket(self) -> socket.socket:
        return self.connection.socket

    def __enter__(self) -> "Http2":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def open(self, headers: bytes, end: bool = False) -> int:
        stream, self.stream = self.stream, self.stream + 2
        self.connection.sent = time.time()
        self.socket.sendall(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, headers))
        self.windows[stream] = self.initial
        return stream

    def read(self) -> tuple[int, int, int, bytes]:
        """The next frame: kind, flags, stream, payload. Settings and pings are answered."""
        while True:
            # A whole frame or nothing, so that a time-out takes none apart.
            self.connection.have(9)
            length = int.from_bytes(self.connection.buffer[:3], "big")
            whole = self.connection.need(9 + length)
            kind, flags, payload = whole[3], whole[4], whole[9:]
            stream = int.from_bytes(whole[5:9], "big") & 0x7FFFFFFF
            if kind == SETTINGS and not flags & ACK:
                for at in range(0, length, 6):
                    name, value = struct.unpack(">HI", payload[at : at + 6])
                    if name == INITIAL_WINDOW_SIZE:
                        for open_stream in self.windows:
                            self.windows[open_stream] += value - self.initial
                        self.initial = value
                self.socket.sendall(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.socket.sendall(frame(PING, ACK, 0, payload))
            elif kind == WINDOW_UPDATE:
                more = int.from_bytes(payload, "big")
                if stream == 0:
                    self.window += more
                elif stream in self.windows:
                    self.windows[stream] += more
            return kind, flags, stream, payload

    def send(self, stream: int, data: bytes, end: bool = True) -> None:
        """A body within the server's windows. Stops where the server answers before it has all."""
        at = 0
        while at < len(data):
            room = min(self.window, self.windows[stream], FRAME, len(data) - at)
            if room <= 0:
                kind, flags, of, payload = self.read()
                if of == stream and kind in (HEADERS, RST_STREAM):
                    self.early = (kind, payload)
                    return
                if kind == GOAWAY:
                    raise ConnectionResetError("GOAWAY")
                if kind in (HEADERS, RST_STREAM):
                    self.others.append((kind, flags, of, payload))
                continue
            last = end and at + room == len(data)
            self.socket.sendall(frame(DATA, END_STREAM if last else 0, stream, data[at : at + room]))
            self.window -= room
            self.windows[stream] -= room
            at += room

    def answer(self, stream: int) -> tuple[dict[str, str], int]:
        """Headers and trailers of a stream, and how many bytes it has: header blocks and data."""
        headers: dict[str, str] = {}
        length = 0
        early = self.__dict__.pop("early", None)
        if early:
            kind, payload = early
            if kind == RST_STREAM:
                return {"reset": str(int.from_bytes(payload, "big"))}, 0
            length += len(payload)
            headers |= self.decoder.decode(payload)
            if "grpc-status" in headers:
                return headers, length
        while True:
            kind, flags, of, payload = self.read()
            if kind == GOAWAY:
                raise ConnectionResetError(f"GOAWAY {payload[4:8].hex()}")
            if of != stream:
                continue
            if kind == RST_STREAM:
                return headers | {"reset": str(int.from_bytes(payload, "big"))}, length
            if kind in (HEADERS, CONTINUATION, DATA):
                length += len(payload)
            if kind == HEADERS:
                end = flags & END_STREAM
                while not flags & END_HEADERS:
                    _, flags, _, more = self.read()
                    length += len(more)
                    payload += more
                headers |= self.decoder.decode(payload)
                flags |= end
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                return headers, length

    def ask(self, headers: bytes, body: bytes = b"") -> tuple[dict[str, str], int]:
        stream = self.open(headers, end=not body)
        if body:
            self.send(stream, body)
        return self.answer(stream)

    def grpc(self, method: str, payload: bytes, headers: dict[str, str] | None = None) -> tuple[dict[str, str], int]:
        return self.ask(grpc_block(method, headers), message(payload))

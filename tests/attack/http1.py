"""A client of HTTP/1.1 that sends what it is told to, however wrong, and times answers by the kernel's clock.

The time at which an answer's bytes arrive is the kernel's (SO_TIMESTAMPNS), so that a client that shares its
cores with the server counts only the server's time, and not the time until it is run again.
"""

import socket
import struct
import time
from dataclasses import dataclass, field

Address = tuple[str, int]

# Of Linux; Python has no name for it.
SO_TIMESTAMPNS = 35
# What is kept of an answer's body.
KEPT = 64 * 1024


class Closed(OSError):
    """The server ended the connection before the answer's end."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    # At most KEPT bytes.
    body: bytes
    # Of the body, as it came; chunks' own bytes count.
    length: int
    # From the first byte sent to the last received.
    seconds: float
    interim: list[int] = field(default_factory=list)


def head(method: str, path: str, headers: dict[str, str] | None = None, length: int | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: localhost"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if length is not None:
        lines.append(f"content-length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def post(path: str, body: bytes, kind: str = "application/json", **headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return head("POST", path, {"content-type": kind, **named}, len(body)) + body


def form(parts: list[tuple[str, bytes]], boundary: str = "part") -> tuple[bytes, str]:
    """The body of a form and its content type."""
    body = b"".join(
        b'--%b\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (boundary.encode(), name.encode(), value)
        for name, value in parts
    )
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class Connection:
    """One connection, blocking, with an end to every wait."""

    def __init__(self, address: Address, source: str = "127.0.0.1", timeout: float = 30, receive_buffer: int = 0):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(timeout)
        self.socket.bind((source, 0))
        self.socket.connect(address)
        self.buffer = b""
        self.sent = self.received = time.time()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Leaves by a reset, as a client that is killed with answers unread does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Sends all of it, or as much as the server takes before it closes: it may have answered already."""
        self.sent = time.time()
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def more(self) -> bool:
        """Receives once; whether there was anything."""
        try:
            data, ancillary, _, _ = self.socket.recvmsg(1 << 20, 64)
        except ConnectionResetError:
            return False
        for level, kind, stamp in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanoseconds = struct.unpack("qq", stamp[:16])
                self.received = seconds + nanoseconds / 1e9
        self.buffer += data
        return bool(data)

    def have(self, count: int) -> None:
        """Receives until so many bytes are in the buffer; those that came before a time-out stay there."""
        while len(self.buffer) < count:
            if not self.more():
                raise Closed(f"closed with {len(self.buffer)} bytes of {count}")

    def need(self, count: int) -> bytes:
        self.have(count)
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def line(self) -> bytes:
        while b"\n" not in self.buffer:
            if len(self.buffer) > 1 << 20:
                raise Closed("a line without an end")
            if not self.more():
                raise Closed("closed within a line" if self.buffer else "closed without an answer")
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def answer(self) -> Answer:
        """The next answer, read to its end."""
        interim = []
        while True:
            status = int(self.line().split(b" ", 2)[1])
            headers = {}
            while line := self.line():
                name, _, value = line.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            if status >= 200:
                break
            interim.append(status)
        kept, length = self.body(headers)
        return Answer(status, headers, kept, length, self.received - self.sent, interim)

    def body(self, headers: dict[str, str]) -> tuple[bytes, int]:
        kept, length = b"", 0
        if "chunked" in headers.get("transfer-encoding", ""):
            while size := int(self.line().split(b";")[0], 16):
                kept, length = self.take(size, kept, length)
                self.line()
            self.line()
        elif "content-length" in headers:
            kept, length = self.take(int(headers["content-length"]), kept, length)
        return kept, length

    def take(self, size: int, kept: bytes, length: int) -> tuple[bytes, int]:
        """Reads `size` bytes of a body, most of which are not kept."""
        left = size
        while left:
            part = self.need(min(left, 1 << 16))
            kept += part[: KEPT - len(kept)]
            left -= len(part)
        return kept, length + size

    def closes(self, seconds: float) -> bool:
        """Whether the server closes within this time; what still comes is thrown away."""
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0:
                self.socket.settimeout(left)
                self.buffer = b""
                if not self.more():
                    return True
        except TimeoutError:
            pass
        return False


def ask(address: Address, request: bytes, source: str = "127.0.0.1", timeout: float = 30) -> Answer:
    """One request on a connection of its own."""
    with Connection(address, source, timeout) as connection:
        connection.send(request)
        return connection.answer()


def ask_all(address: Address, request: bytes, timeout: float = 30) -> bytes:
    """The whole body of an answer."""
    with Connection(address, timeout=timeout) as connection:
        connection.send(request[:-2] + b"connection: close\r\n\r\n")
        answer = bytearray()
        while connection.more():
            answer += connection.buffer
            connection.buffer = b""
    header, _, body = bytes(answer).partition(b"\r\n\r\n")
    if b"chunked" not in header.lower():
        return body
    whole = b""
    while size := int(body[: body.index(b"\r\n")], 16):
        start = body.index(b"\r\n") + 2
        whole, body = whole + body[start : start + size], body[start + size + 2 :]
    return whole

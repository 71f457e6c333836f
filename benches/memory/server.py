"""A server in a process of its own, what it holds, and connections to it. Standard library only."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
MEMORY = ("VmRSS", "RssAnon", "RssFile", "VmHWM")
# How often a server that starts is asked whether it is ready.
POLL_SECONDS = 0.004


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens. All are held until the last is found, so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


def request(path: str, content_type: str, body: bytes, method: str = "POST") -> bytes:
    """A whole request of HTTP/1.1."""
    lines = (
        f"{method} {path} HTTP/1.1",
        "host: onnxd",
        f"content-type: {content_type}",
        f"content-length: {len(body)}",
    )
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection:
    """Sends requests, one or many at once, and takes the answers as they come."""

    def __init__(self, port: int) -> None:
        self.port, self.buffer = port, b""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=600)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, requests: bytes) -> None:
        self.socket.sendall(requests)

    def read(self) -> bool:
        """Takes what has come, and waits if there is nothing; false at the connection's end."""
        came = self.socket.recv(256 * 1024)
        self.buffer += came
        return bool(came)

    def answer(self) -> int | None:
        """The status of the next answer that is here as a whole."""
        end = self.buffer.find(b"\r\n\r\n") + 4
        if end == 3:
            return None
        head = self.buffer[:end].lower()
        at = head.index(b"content-length: ") + len(b"content-length: ")
        end += int(head[at : head.index(b"\r", at)])
        if len(self.buffer) < end:
            return None
        self.buffer = self.buffer[end:]
        return int(head[9:12])

    def ask(self, asked: bytes) -> int:
        """Sends a request and waits for its status."""
        self.send(asked)
        while (status := self.answer()) is None:
            if not self.read():
                raise ConnectionError("the server closed the connection")
        return status

    def close(self) -> None:
        self.socket.close()


class Server:
    """`onnxd serve` of a folder of models, on ports of its own. Use it in a `with`."""

    def __init__(self, binary: str, models: Path, keys: dict[str, str], log: Path) -> None:
        self.port, self.admin = free_ports(2)
        self.log = log
        # What stands in the environment must not change what is measured.
        others = {name: value for name, value in os.environ.items() if name[:7] != "ONNXD_"}
        keys = {
            "SERVER__LISTEN": f"127.0.0.1:{self.port}",
            "ADMIN__LISTEN": f"127.0.0.1:{self.admin}",
            "MODELS__PATH": str(models.resolve()),
            "RUNTIME__DEVICE": "cpu",
        } | keys
        environment = others | {f"ONNXD_{key}": value for key, value in keys.items()}
        with log.open("wb") as output:
            self.begun = time.monotonic()
            self.process = subprocess.Popen(
                [binary, "serve"], cwd=ROOT, env=environment, stdout=output, stderr=output
            )

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait(self, seconds: float = 600) -> float:
        """Seconds from the start until the server was ready."""
        asked = request("/health/ready", "text/plain", b"", "GET")
        while time.monotonic() - self.begun < seconds and self.process.poll() is None:
            try:
                connection = Connection(self.admin)
                status = connection.ask(asked)
                connection.close()
                if status == 200:
                    return time.monotonic() - self.begun
            except OSError:
                pass
            time.sleep(POLL_SECONDS)
        self.fail("is not ready")

    def memory(self) -> dict[str, float]:
        """MiB that the process holds: in all, its own, of files, and the most so far."""
        try:
            lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
            fields = dict(line.split(":", 1) for line in lines)
            return {name: int(fields[name].split()[0]) / 1024 for name in MEMORY}
        except (KeyError, OSError):
            self.fail("has ended")

    def stop(self) -> None:
        """Ends the server as an orchestrator does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        if self.process.wait(timeout=60) != 0:
            self.fail(f"ended with status {self.process.returncode}")

    def fail(self, what: str) -> None:
        end = "\n".join(self.log.read_text(errors="replace").splitlines()[-5:])
        self.process.kill()
        sys.exit(f"the server {what}; the end of its log:\n{end}")

"""Runs the server that is attacked, as it starts by default but for its ports and the folder of its caches."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import http1
from attack import ROOT, Own, metrics, process_memory_mb
from http1 import Address, Answer

START_SECONDS = 120
# What requests hold of what clients share.
SHARED = ("onnxd_open_requests", "onnxd_requests_in_work", "onnxd_body_bytes", "onnxd_unread_answer_bytes")
# server.grace_period, and a margin.
STOP_SECONDS = 40


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, binary: Path, folder: Path, own: Own | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.binary = folder, binary
        self.address: Address = ("127.0.0.1", free_port())
        self.admin: Address = ("127.0.0.1", free_port())
        self.log = folder / "onnxd.log"
        own = own or Own()
        self.settings = own.settings | (own.prepare(folder) if own.prepare else {})
        self.headers = own.headers
        self.start()

    def start(self) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ONNXD_")} | {
            "ONNXD_SERVER__LISTEN": "{}:{}".format(*self.address),
            "ONNXD_ADMIN__LISTEN": "{}:{}".format(*self.admin),
            "ONNXD_RUNTIME__DEVICE": "cpu",
            "ORT_DYLIB_PATH": str(ROOT / ".onnxruntime/libonnxruntime.so"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve"],
                cwd=ROOT,
                env=environment | self.settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.pid = self.process.pid
        self.wait_ready()

    def wait_ready(self) -> None:
        end = time.monotonic() + START_SECONDS
        while not self.is_ready():
            if not self.alive() or time.monotonic() > end:
                self.kill()
                raise SystemExit(f"onnxd does not get ready:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.05)

    def is_ready(self) -> bool:
        try:
            return self.ask_admin("/health/ready", timeout=5).status == 200
        except OSError:
            return False

    def ask_admin(self, path: str, timeout: float) -> Answer:
        return http1.ask(self.admin, http1.head("GET", path, {"connection": "close"}), timeout=timeout)

    def alive(self) -> bool:
        return self.process.poll() is None

    def why_ended(self) -> str:
        code = self.process.poll()
        return "it runs" if code is None else f"signal {-code}" if code < 0 else f"exit status {code}"

    # -- what the process holds

    def forget_peak(self) -> bool:
        """Peaks of memory are counted from now on; whether the system lets us."""
        try:
            Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        except OSError:
            return False
        return True

    def memory_mb(self, what: str = "VmRSS") -> float:
        return process_memory_mb(self.pid, what)

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def held(self) -> float:
        """Requests, places and bytes that are counted as taken; a server of before has no such metrics."""
        series = metrics(self.admin)
        return sum(series.get(name, 0.0) for name in SHARED)

    # -- its end

    def stop(self) -> None:
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

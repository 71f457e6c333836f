"""Runs `onnxd serve --check` and `onnxd serve` over a folder of models."""

import http.client
import json
import os
import queue
import re
import subprocess
import threading
import time
from pathlib import Path

# Loading hundreds of small networks on a slow machine; an end to every wait.
LOAD_SECONDS = 300
REQUEST_SECONDS = 60
# EX_CONFIG: a model cannot be served.
REFUSED = 78


def environment() -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith("ONNXD_")}
    return mine | {
        "ONNXD_ADMIN__LISTEN": "",
        "ONNXD_RUNTIME__DEVICE": "cpu",
        # Hundreds of models in one process: a session each, and no search for the best layout.
        "ONNXD_RUNTIME__INSTANCES": "1",
        "ONNXD_RUNTIME__INTRA_OP_THREADS": "1",
        "ONNXD_RUNTIME__GRAPH_CACHE": "",
        "ONNXD_LOG__FORMAT": "text",
    }


def check(binary: str, models: Path) -> tuple[int, str]:
    """The status of `serve --check`, and all that it says."""
    command = [binary, "serve", "--check", "--models", str(models)]
    try:
        done = subprocess.run(
            command,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=LOAD_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return -1, f"onnxd serve --check does not end in {LOAD_SECONDS} s"
    return done.returncode, done.stdout


def refusals(said: str, names: list[str]) -> dict[str, str]:
    """The models that a check named as not served, with its sentences, which may have several lines."""
    found: dict[str, str] = {}
    name = None
    for line in said.splitlines():
        if start := re.match(r"  (\S+) \(([^)]*)\): (.*)", line):
            name = start[1] if start[1] in names else name
            if start[1] in names:
                found[name] = start[3]
                continue
        if name and not line.startswith(("{", "onnxd:")):
            found[name] += "\n" + line
    return found


def tasks(said: str) -> dict[str, str]:
    """From `ok: NAME (TASK, FILE on DEVICE), …`."""
    found: dict[str, str] = {}
    for line in said.splitlines():
        if line.startswith("ok: "):
            found |= dict(re.findall(r"(\S+) \(([a-z-]+), [^)]*\)", line))
    return found


class Server:
    def __init__(self, binary: str, models: Path) -> None:
        self.log: list[str] = []
        self.process = subprocess.Popen(
            [binary, "serve", "--models", str(models), "--listen", "127.0.0.1:0"],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self.addresses: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        try:
            self.address = self.addresses.get(timeout=LOAD_SECONDS)
            if self.address is None:
                raise RuntimeError("onnxd does not serve: " + "".join(self.log[-20:]))
            self.wait_ready()
        except BaseException as error:
            self.stop()
            if isinstance(error, queue.Empty):
                raise RuntimeError(f"onnxd does not listen after {LOAD_SECONDS} s") from None
            raise

    def read(self) -> None:
        """Reads on, so that the server's log never waits."""
        found = False
        for line in self.process.stdout:
            self.log.append(line)
            if not found and (said := re.search(r"http://([0-9.]+:[0-9]+)", line)):
                found = True
                self.addresses.put(said[1])
        self.addresses.put(None)

    def wait_ready(self) -> None:
        end = time.monotonic() + LOAD_SECONDS
        while time.monotonic() < end:
            if not self.alive():
                raise RuntimeError("onnxd ended: " + "".join(self.log[-20:]))
            if self.ask("GET", "/v2/health/ready")[0] == 200:
                return
            time.sleep(0.1)
        raise RuntimeError(f"onnxd is not ready after {LOAD_SECONDS} s")

    def ask(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.address, timeout=REQUEST_SECONDS)
        try:
            connection.request(method, path, body, {"content-type": kind} if body is not None else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def models(self) -> set[str]:
        status, body = self.ask("GET", "/v2/models")
        if status != 200:
            raise RuntimeError(f"/v2/models answered {status}: {body}")
        named = json.loads(body)
        named = named.get("models", named) if isinstance(named, dict) else named
        return {one["name"] if isinstance(one, dict) else one for one in named}

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

"""Loads and unloads models again and again in a running process, and tells what memory is left.

Usage: scripts/reload_check.py ONNXD [ROUNDS] [MODEL ...]
Fails if the most that is resident after a round of the second half is more than half as much again as
the first half: single figures go up and down, with where the allocator's last free pages lie, and a leak
shows as far more.
"""

import http.client
import json
import os
import re
import subprocess
import sys
import time

BODIES = {
    "iris": {"features": [[5.1, 3.5, 1.4, 0.2]]},
    "sentiment-minilm": {"text": "The battery lasts for days."},
}


class Server:
    def __init__(self, binary: str) -> None:
        environment = {
            "ONNXD_MODELS__CONTROL": "explicit",
            "ONNXD_ADMIN__LISTEN": "127.0.0.1:0",
            "ONNXD_LOG__FORMAT": "text",
        }
        command = [binary, "serve", "--listen", "127.0.0.1:0", "--device", "cpu"]
        self.process = subprocess.Popen(
            command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.admin = self.address(self.process.stderr, "health and metrics at ")
        self.data = self.address(self.process.stdout, "onnxd serves ")
        # The log's pipe must not fill up.
        self.drain = subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=subprocess.DEVNULL)

    def address(self, lines, before: str) -> str:
        for line in lines:
            if before in line:
                return re.search(r"http://([0-9.:]+)", line)[1]
        sys.exit("onnxd ended")

    def post(self, address: str, path: str, body: object) -> None:
        connection = http.client.HTTPConnection(address, timeout=60)
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != 200:
            sys.exit(f"{path}: {answer.status} {text.decode()}")

    def round(self, models: list[str]) -> None:
        for action in ("load", "unload"):
            for model in models:
                if action == "unload":
                    self.post(self.data, f"/predict/{model}", BODIES[model])
                self.post(self.admin, f"/v2/repository/models/{model}/{action}", {})

    def settled(self) -> tuple[float, int]:
        """Status once the threads of what was unloaded have ended."""
        before = None
        while (now := self.status()) != before:
            before = now
            time.sleep(0.3)
        return now

    def status(self) -> tuple[float, int]:
        """Resident memory in MB, and threads."""
        with open(f"/proc/{self.process.pid}/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmRSS"].split()[0]) / 1024, int(fields["Threads"])


def report(server: Server, name: str) -> float:
    resident, threads = server.settled()
    print(f"{name}: {resident:.1f} MB, {threads} threads", flush=True)
    return resident


def main() -> None:
    binary, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 100
    models = sys.argv[3:] or list(BODIES)
    every = max(rounds // 10, 1)
    halves: tuple[list[float], list[float]] = ([], [])
    server = Server(binary)
    try:
        report(server, "nothing loaded")
        for done in range(1, rounds + 1):
            server.round(models)
            if done == 1 or done % every == 0:
                halves[done > rounds / 2].append(report(server, f"after {done} rounds"))
    finally:
        server.process.terminate()
        server.process.wait()
    first, second = map(max, halves)
    print(f"most in the second half over most in the first: {(second / first - 1) * 100:+.1f} %")
    sys.exit(second > first * 1.5)


if __name__ == "__main__":
    main()

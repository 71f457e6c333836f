"""How fast `onnxd evaluate` answers the held-out sentences, beside the server's bulk work with the same.

Usage: scripts/evaluate_speed.py ONNXD [ROUNDS], from the repository's root. In each round one after the
other: evaluate, the sentences as a stream of lines, and as JSON requests of 64 by 8 clients, both of
bulk priority. Prints medians, and evaluate's share of the better of the two in the same round.
"""

import http.client
import json
import os
import queue
import re
import statistics
import subprocess
import sys
import threading
import time

MODEL = "sentiment-minilm"
DATA = "models/eval/sentiment.tsv"
TOGETHER = 64
CLIENTS = 8


def sentences() -> list[str]:
    with open(DATA, encoding="utf-8") as file:
        return [line.rsplit("\t", 1)[0] for line in file][1:]


def evaluate(onnxd: str) -> float:
    command = [onnxd, "evaluate", MODEL, DATA, "--format", "json"]
    output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return json.loads(output.stdout)["items_per_second"]


def as_lines(address: str, texts: list[str]) -> float:
    body = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    connection = http.client.HTTPConnection(address)
    start = time.monotonic()
    connection.request("POST", f"/predict/{MODEL}", body, {"content-type": "application/x-ndjson"})
    answers = connection.getresponse().read().splitlines()
    seconds = time.monotonic() - start
    assert len(answers) == len(texts) and all(b'"result"' in answer for answer in answers)
    return len(texts) / seconds


def as_requests(address: str, texts: list[str]) -> float:
    parts: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
    for first in range(0, len(texts), TOGETHER):
        parts.put(texts[first : first + TOGETHER])
    answered: list[int] = []

    def client() -> None:
        connection = http.client.HTTPConnection(address)
        headers = {"content-type": "application/json", "x-priority": "bulk"}
        while True:
            try:
                part = parts.get_nowait()
            except queue.Empty:
                return
            connection.request("POST", f"/predict/{MODEL}", json.dumps({"text": part}), headers)
            answered.append(len(json.load(connection.getresponse())["result"]))

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - start
    assert sum(answered) == len(texts)
    return len(texts) / seconds


def main() -> None:
    onnxd, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
    texts = sentences()
    server = subprocess.Popen(
        [onnxd, "serve", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "ONNXD_ADMIN__LISTEN": ""},
    )
    try:
        address = re.search(r"http://(\S+)", server.stdout.readline()).group(1)
        as_lines(address, texts[:200])
        ways = {
            "evaluate": lambda: evaluate(onnxd),
            "lines": lambda: as_lines(address, texts),
            "requests": lambda: as_requests(address, texts),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                rates[name].append(way())
    finally:
        server.terminate()
        server.wait()
    for name, values in rates.items():
        low, high = min(values), max(values)
        print(f"{name:9} {statistics.median(values):.0f} sentences/s ({low:.0f} to {high:.0f})")
    shares = [mine / max(theirs) for mine, *theirs in zip(*rates.values(), strict=True)]
    low, high = min(shares), max(shares)
    print(f"evaluate / the better: {statistics.median(shares):.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()

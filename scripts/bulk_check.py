"""Sends feature rows as lines of JSON to a running server, and kills and resumes `onnxd predict`.

Usage: scripts/bulk_check.py ONNXD [ROWS], from the repository's root; 200,000 rows by default.
Fails unless the answers of the stream come in the order of the rows, the server's resident memory grows by
less than 64 MB, and a run of `onnxd predict` that is killed at half and resumed writes what one whole run
writes. Scores may differ in the last digits, by how many rows shared a run.
"""

import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

MOST_GROWTH_MB = 64
CHUNK_LINES = 500
ALIKE = 1e-5


def write_rows(path: Path, rows: int) -> None:
    numbers = random.Random(0)
    with path.open("w") as file:
        for number in range(rows):
            features = [round(numbers.uniform(low, high), 1) for low, high in ((4, 8), (2, 4.5), (1, 7), (0.1, 2.5))]
            file.write(json.dumps({"id": number, "features": [features]}) + "\n")


class Server:
    def __init__(self, binary: str) -> None:
        environment = os.environ | {"ONNXD_ADMIN__LISTEN": ""}
        command = [binary, "serve", "--listen", "127.0.0.1:0", "--device", "cpu"]
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        said = re.search(r"http://([0-9.:]+)", self.process.stdout.readline())
        if said is None:
            sys.exit("onnxd does not serve")
        self.address = said[1]

    def memory_mb(self, field: str = "VmRSS") -> float:
        with open(f"/proc/{self.process.pid}/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields[field].split()[0]) / 1024

    def stop(self) -> None:
        self.process.terminate()
        if self.process.wait() != 0:
            sys.exit(f"onnxd ended with {self.process.returncode}")


def stream(address: str, rows: Path) -> Iterator[bytes]:
    """The answers, a line each, while a second thread still sends."""
    connection = http.client.HTTPConnection(address, timeout=120)
    connection.putrequest("POST", "/predict/iris?top_k=1")
    connection.putheader("content-type", "application/x-ndjson")
    connection.putheader("transfer-encoding", "chunked")
    connection.endheaders()

    def send() -> None:
        lines: list[bytes] = []
        with rows.open("rb") as file:
            for line in file:
                lines.append(line)
                if len(lines) == CHUNK_LINES:
                    send_chunk(b"".join(lines))
                    lines.clear()
        if lines:
            send_chunk(b"".join(lines))
        connection.send(b"0\r\n\r\n")

    def send_chunk(data: bytes) -> None:
        connection.send(b"%x\r\n%b\r\n" % (len(data), data))

    sender = threading.Thread(target=send)
    sender.start()
    answer = connection.getresponse()
    if answer.status != 200:
        sys.exit(f"{answer.status}: {answer.read().decode()}")
    yield from answer
    sender.join()
    connection.close()


def check_stream(binary: str, folder: Path, rows: int) -> None:
    server = Server(binary)
    try:
        # What every first stream needs is no growth.
        first = folder / "first.ndjson"
        write_rows(first, 1000)
        if sum(1 for _ in stream(server.address, first)) != 1000:
            sys.exit("not every row was answered")
        before, start, most = server.memory_mb(), time.monotonic(), 0.0
        answered = 0
        for answered, line in enumerate(stream(server.address, folder / "rows.ndjson"), 1):
            answer = json.loads(line)
            if answer.get("id") != answered - 1 or "result" not in answer:
                sys.exit(f"answer {answered - 1} is {line.decode()}")
            if answered % 10_000 == 0:
                most = max(most, server.memory_mb())
        seconds = time.monotonic() - start
        if answered != rows:
            sys.exit(f"{answered} of {rows} rows were answered")
        growth = max(most, server.memory_mb()) - before
        print(
            f"stream: {rows} rows in order in {seconds:.1f} s, {rows / seconds:.0f} rows/s with this client; "
            f"resident {before:.1f} MB before, at most {growth:+.1f} MB meanwhile",
            flush=True,
        )
        if growth >= MOST_GROWTH_MB:
            sys.exit(f"resident memory grew by {growth:.1f} MB")
    finally:
        server.stop()


def predict(binary: str, rows: Path, output: Path, *flags: str) -> list[str]:
    return [binary, "predict", "iris", str(rows), "--top-k", "1", "--output", str(output), *flags]


def check_resume(binary: str, folder: Path, rows: int) -> None:
    inputs = folder / "rows.ndjson"
    whole, killed = folder / "whole.jsonl", folder / "killed.jsonl"
    start = time.monotonic()
    subprocess.run(predict(binary, inputs, whole), check=True)
    seconds = time.monotonic() - start
    half = whole.stat().st_size // 2

    process = subprocess.Popen(predict(binary, inputs, killed))
    while process.poll() is None:
        if killed.exists() and killed.stat().st_size >= half:
            process.kill()
            break
    if process.wait() != -signal.SIGKILL:
        sys.exit("onnxd predict ended before it was killed")
    done = killed.read_bytes().count(b"\n")
    subprocess.run(predict(binary, inputs, killed, "--resume"), check=True)

    same = whole.read_bytes() == killed.read_bytes()
    if not same:
        with whole.open() as one, killed.open() as other:
            for number, (left, right) in enumerate(zip(one, other, strict=True), 1):
                if left != right and not alike(json.loads(left), json.loads(right)):
                    sys.exit(f"line {number} differs:\n{left}{right}")
    lines = whole.read_bytes().count(b"\n")
    if lines != rows:
        sys.exit(f"{lines} of {rows} rows were answered")
    print(
        f"predict: {rows} rows in {seconds:.1f} s with the start; killed after {done} rows and resumed, "
        f"the answers are {'the same to the byte' if same else 'the same but for last digits'}"
    )


def alike(left: object, right: object) -> bool:
    match left, right:
        case float(), float():
            return abs(left - right) < ALIKE
        case dict(), dict():
            return left.keys() == right.keys() and all(alike(left[key], right[key]) for key in left)
        case list(), list():
            return len(left) == len(right) and all(map(alike, left, right))
        case _:
            return left == right


def main() -> None:
    binary = str(Path(sys.argv[1]).absolute())
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else 200_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder / "rows.ndjson", rows)
        check_stream(binary, folder, rows)
        check_resume(binary, folder, rows)


if __name__ == "__main__":
    main()

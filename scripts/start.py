"""Measures a start: milliseconds from exec to the first answer, and resident memory after it.

Usage: scripts/start.py [RUNS [IMAGE]] -- COMMAND [ARG ...], a server on 127.0.0.1:8080. It is asked about
a text, or about the file IMAGE, a JPEG.
Prints the median, the fastest and the slowest run.
"""

import http.client
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

TEXT = json.dumps({"text": "The battery lasts for days."})


def first_answer(start: float, body: str | bytes) -> float:
    content_type = "application/json" if isinstance(body, str) else "image/jpeg"
    while time.monotonic() - start < 60:
        connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=30)
        try:
            connection.request("POST", "/predict", body, {"content-type": content_type})
            if connection.getresponse().status == 200:
                return (time.monotonic() - start) * 1e3
        except OSError:
            time.sleep(0.002)
    sys.exit("no answer within a minute")


def resident_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def main() -> None:
    split = sys.argv.index("--")
    runs = int(sys.argv[1]) if split > 1 else 11
    body = Path(sys.argv[2]).read_bytes() if split > 2 else TEXT
    times, memory = [], []
    for _ in range(runs):
        start = time.monotonic()
        process = subprocess.Popen(sys.argv[split + 1 :], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(first_answer(start, body))
        memory.append(resident_mb(process.pid))
        process.terminate()
        process.wait()
    for name, values, unit in (("first answer", times, "ms"), ("resident", memory, "MB")):
        spread = f"{min(values):.0f} to {max(values):.0f}"
        print(f"{name}: median {statistics.median(values):.0f} {unit} ({spread}), {runs} runs")


if __name__ == "__main__":
    main()

"""Measures a start: milliseconds from exec to the first answer, and resident memory after it.

Usage: scripts/start.py [RUNS] -- COMMAND [ARG ...], a server on 127.0.0.1:8080.
Prints the median, the fastest and the slowest run.
"""

import http.client
import json
import statistics
import subprocess
import sys
import time

BODY = json.dumps({"text": "The battery lasts for days."})


def first_answer(start: float) -> float:
    while time.monotonic() - start < 60:
        connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=30)
        try:
            connection.request("POST", "/predict", BODY, {"content-type": "application/json"})
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
    times, memory = [], []
    for _ in range(runs):
        start = time.monotonic()
        process = subprocess.Popen(sys.argv[split + 1 :], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(first_answer(start))
        memory.append(resident_mb(process.pid))
        process.terminate()
        process.wait()
    for name, values, unit in (("first answer", times, "ms"), ("resident", memory, "MB")):
        spread = f"{min(values):.0f} to {max(values):.0f}"
        print(f"{name}: median {statistics.median(values):.0f} {unit} ({spread}), {runs} runs")


if __name__ == "__main__":
    main()

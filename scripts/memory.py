"""Measures a server's memory after many requests: starts it, sends photos from many clients, and reads
what the process holds.

Usage: scripts/memory.py [REQUESTS [CLIENTS]] -- COMMAND [ARG ...], a server on 127.0.0.1:8080 that takes
images. 10,000 requests from 32 clients by default.
"""

import http.client
import itertools
import subprocess
import sys
import threading
import time
from pathlib import Path

PHOTO = (Path(__file__).parent.parent / "tests/fixtures/images/jpeg-640x480.jpg").read_bytes()


def ask(connection: http.client.HTTPConnection, number: int) -> int:
    # The tail is no part of the picture. Identical requests would share a run.
    body = PHOTO + number.to_bytes(4, "little")
    connection.request("POST", "/predict", body, {"content-type": "image/jpeg"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def wait(process: subprocess.Popen) -> None:
    start = time.monotonic()
    while time.monotonic() - start < 60 and process.poll() is None:
        try:
            if ask(http.client.HTTPConnection("127.0.0.1", 8080, timeout=30), 0) == 200:
                return
        except OSError:
            pass
        time.sleep(0.01)
    sys.exit("no answer within a minute")


def load(requests: int, clients: int) -> None:
    numbers = itertools.count(1)
    statuses = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60)
        while (number := next(numbers)) <= requests:
            statuses.append(ask(connection, number))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if statuses != [200] * requests:
        sys.exit(f"{requests - statuses.count(200)} of {requests} requests were not answered 200")


def tell(when: str, pid: int) -> None:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    names = ("VmRSS", "RssAnon", "RssFile", "VmHWM")
    figures = ", ".join(f"{name} {int(fields[name].split()[0]) / 1024:.0f} MB" for name in names)
    print(f"{when}: {figures}")


def main() -> None:
    split = sys.argv.index("--")
    numbers = [int(text) for text in sys.argv[1:split]]
    requests, clients = numbers + [10_000, 32][len(numbers) :]
    process = subprocess.Popen(sys.argv[split + 1 :], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait(process)
        tell("after the first answer", process.pid)
        start = time.monotonic()
        load(requests, clients)
        seconds = time.monotonic() - start
        tell(f"after {requests} requests from {clients} clients in {seconds:.0f} s", process.pid)
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()

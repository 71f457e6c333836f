"""What shows only after a while: leaks; and what a server does that has to stop."""

import os
import signal
import threading
import time
from pathlib import Path

from attack import MB, OTHERS, Attack, Context, Figure, Own, image
from http1 import Connection, head, post
from http2 import CANCEL, END_HEADERS, HEADERS, RST_STREAM, block, frame

# Resident memory a request, once what every server takes has been taken; a leak of 64 bytes must show.
LEAK_BYTES = 24
# Of the requests, before growth counts.
FIRST = 0.3
CLIENTS = 3
BATCH = 50
UPLOADS = 500


def soak(context: Context) -> list[Figure]:
    """Good, bad and cancelled requests, as many as this client can; then what has stayed."""
    rows = [post("/predict/iris", b'{"features": [[5.%d,3.5,1.4,0.2]]}' % number) for number in range(BATCH - 4)]
    bad = [post("/predict/iris", b'{"features": [[1]]}'), head("GET", "/nothing"), post("/predict/iris", b"{")]
    batch = b"".join([*rows, *bad, post("/predict/iris", b'{"text": 1}')])
    counts = [0] * (CLIENTS + 1)

    def client(number: int) -> None:
        connection = None
        while context.goes_on():
            try:
                connection = connection or context.connect(timeout=20)
                connection.send(batch)
                for _ in range(BATCH):
                    connection.answer()
                counts[number] += BATCH
                if counts[number] % (BATCH * 40) == 0:
                    connection.close()
                    connection = None
            except (OSError, ValueError, IndexError):
                connection = None

    def cancelling() -> None:
        """Streams that are reset in the middle, uploads that break off."""
        ask = block("POST", "/predict/iris", {"content-type": "application/json"})
        while context.goes_on():
            try:
                with context.http2(timeout=5) as over2:
                    for stream in range(1, 40, 2):
                        over2.socket.sendall(
                            frame(HEADERS, END_HEADERS, stream, ask)
                            + frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big"))
                        )
                for _ in range(10):
                    one = context.connect(timeout=5)
                    one.send(rows[0][:-5])
                    one.reset()
                counts[-1] += 30
            except OSError:
                pass
            context.sleep(0.05)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    threads.append(threading.Thread(target=cancelling))
    for thread in threads:
        thread.start()
    samples: list[tuple[int, float]] = []
    while context.goes_on():
        context.sleep(0.5)
        samples.append((sum(counts), context.memory_mb()))
    for thread in threads:
        thread.join(60)
    slope = slope_of([sample for sample in samples if sample[0] >= samples[-1][0] * FIRST])
    told = f"{sum(counts)} requests, {samples[0][1]:.0f} to {samples[-1][1]:.0f} MB"
    return [Figure("stays of a request", slope * MB, LEAK_BYTES, "bytes", told)]


def slope_of(samples: list[tuple[int, float]]) -> float:
    """Least squares: megabytes a request."""
    count = len(samples)
    if count < 3:
        return 0.0
    x_mean, y_mean = (sum(sample[axis] for sample in samples) / count for axis in (0, 1))
    spread = sum((x - x_mean) ** 2 for x, _ in samples)
    return sum((x - x_mean) * (y - y_mean) for x, y in samples) / spread if spread else 0.0


def stopped(context: Context) -> list[Figure]:
    """500 uploads, from many addresses, half of whose bodies have come when the server is told to stop."""
    request = post("/predict", image("jpeg-224x224.jpg"), "image/jpeg")
    half = len(request) // 2
    clients: list[Connection] = []
    for number in range(UPLOADS):
        clients.append(context.connect(OTHERS[number % len(OTHERS)], timeout=40))
        clients[-1].send(request[:half])
    time.sleep(0.5)
    os.kill(context.pid, signal.SIGTERM)
    told = time.monotonic()
    time.sleep(0.2)
    for client in clients:
        client.send(request[half:])
    statuses: dict[int, int] = {}
    for client in clients:
        try:
            status = client.answer().status
        except OSError:
            status = 0
        statuses[status] = statuses.get(status, 0) + 1
        client.close()
    while os.path.exists(f"/proc/{context.pid}/stat") and time.monotonic() - told < 40:
        # Its parent has not asked for its status yet.
        if " Z " in Path(f"/proc/{context.pid}/stat").read_text():
            break
        time.sleep(0.05)
    # Refused in time is an answer: the queue is not endless.
    lost = sum(count for status, count in statuses.items() if status not in (200, 429, 503))
    return [
        Figure("uploads lost", lost, 0, f"of {UPLOADS}", str(statuses)),
        Figure("until it ended", time.monotonic() - told, 30, "s"),
    ]


HELD = [
    Attack("soak", 0, "good, bad and cancelled requests without a pause: what stays of each?", soak, 50, growth_mb=150),
    Attack("stopped", 0, f"SIGTERM with {UPLOADS} uploads half sent", stopped, 5, own=Own(), ends=True),
]

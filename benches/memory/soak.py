"""Very many requests to the bundled models, some of them wrong and some cancelled.

Used by measure.py. Several processes send from a few connections each, many requests at once, so
that a million requests take minutes.
"""

import json
import multiprocessing
import random
import selectors
import socket
import struct
import time
from collections import Counter, deque
from collections.abc import Callable

from server import MEMORY, ROOT, Connection, Server, request

PROCESSES, CONNECTIONS, AT_ONCE = 2, 8, 8
BAD_PART, CANCELLED_PART = 0.10, 0.05
# What a bad request is answered.
REFUSALS = (400, 404, 413, 415, 422)
PHOTOS = [
    (ROOT / "tests/fixtures/images" / name).read_bytes()
    for name in ("jpeg-224x224.jpg", "jpeg-coffee.jpg", "jpeg-640x480.jpg")
]
WORDS = "the battery lasts for days it broke after a week I love this film waste of time".split()
JSON = "application/json"

# No two requests are the same: the server runs those once that are, if they come together.
Draw = Callable[[random.Random], bytes]


def row(draw: random.Random) -> bytes:
    random = draw.random
    return b"[%.4f,%.4f,%.4f,%.4f]" % (8 * random(), 5 * random(), 7 * random(), 3 * random())


def one_row(draw: random.Random) -> bytes:
    return request("/predict/iris", JSON, b'{"features":[%s]}' % row(draw))


def text(draw: random.Random, path: str, words: int) -> bytes:
    chosen = [*draw.choices(WORDS, k=words), str(draw.getrandbits(40))]
    return request(path, JSON, json.dumps({"text": " ".join(chosen)}).encode())


def sentence(draw: random.Random) -> bytes:
    return text(draw, "/predict/sentiment-minilm", draw.randint(3, 40))


def review(draw: random.Random) -> bytes:
    return text(draw, "/predict/sentiment-tfidf", draw.randint(3, 100))


def photo(draw: random.Random) -> bytes:
    # The tail is no part of the picture.
    return request("/predict", "image/jpeg", draw.choice(PHOTOS) + draw.randbytes(8))


def broken_json(draw: random.Random) -> bytes:
    return request("/predict/iris", JSON, b'{"features":[' + row(draw))


def wrong_field(draw: random.Random) -> bytes:
    return request("/predict/iris", JSON, b'{"rows":[%s]}' % row(draw))


def number_too_few(draw: random.Random) -> bytes:
    return request("/predict/iris", JSON, b'{"features":[[%.3f,1,2]]}' % draw.random())


def too_many_rows(draw: random.Random) -> bytes:
    return request("/predict/iris", JSON, b'{"features":[%s]}' % b",".join([row(draw)] * 1025))


def text_too_long(draw: random.Random) -> bytes:
    return text(draw, "/predict/sentiment-minilm", 5000)


def unknown_model(draw: random.Random) -> bytes:
    return text(draw, f"/predict/model-{draw.getrandbits(40)}", 5)


def wrong_type(draw: random.Random) -> bytes:
    return request("/predict/iris", "text/xml", b"<features>%s</features>" % row(draw))


def no_photo(draw: random.Random) -> bytes:
    return request("/predict", "image/jpeg", PHOTOS[0][:5000] + draw.randbytes(8))


GOOD = {one_row: 0.96, review: 0.02, sentence: 0.015, photo: 0.005}
BAD = (
    *(broken_json, wrong_field, number_too_few, too_many_rows),
    *(text_too_long, unknown_model, wrong_type, no_photo),
)
# What its client does not wait for is more often what takes long.
CANCELLED = {one_row: 0.7, review: 0.1, sentence: 0.15, photo: 0.05}


def one_of(draw: random.Random, kinds: dict[Draw, float]) -> bytes:
    return draw.choices(list(kinds), kinds.values())[0](draw)


def cancel(port: int, draw: random.Random) -> None:
    """Sends a request and closes the connection, in half of the cases with a reset."""
    connection = Connection(port)
    if draw.random() < 0.5:
        linger = struct.pack("ii", 1, 0)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.send(one_of(draw, CANCELLED))
    connection.close()


class Client:
    """A connection with requests under way, and what each should be answered."""

    def __init__(self, port: int) -> None:
        self.connection = Connection(port)
        self.expected: deque[str] = deque()

    def send(self, draw: random.Random, left: int) -> int:
        """Sends the next requests, `left` at most, and cancels some others; how many it was."""
        requests = []
        for _ in range(min(AT_ONCE, left)):
            chance = draw.random()
            if chance < CANCELLED_PART:
                cancel(self.connection.port, draw)
                continue
            bad = chance < CANCELLED_PART + BAD_PART
            requests.append(draw.choice(BAD)(draw) if bad else one_of(draw, GOOD))
            self.expected.append("refused" if bad else "answered")
        self.connection.send(b"".join(requests))
        return min(AT_ONCE, left)

    def receive(self, counts: Counter[str]) -> None:
        if not self.connection.read():
            raise ConnectionError("the server closed a connection")
        while self.expected and (status := self.connection.answer()) is not None:
            kind = "answered" if status == 200 else "refused" if status in REFUSALS else "other"
            told = kind if kind == self.expected.popleft() else f"status {status}"
            counts[told] += 1


def portion(job: tuple[int, int, int]) -> Counter[str]:
    """Sends so many requests from one process, and counts what came of them."""
    port, count, seed = job
    draw, counts = random.Random(seed), Counter[str]()
    selector = selectors.DefaultSelector()
    clients = [Client(port) for _ in range(CONNECTIONS)]
    left = count
    for client in clients:
        selector.register(client.connection.socket, selectors.EVENT_READ, client)
        left -= client.send(draw, left)
    while left or any(client.expected for client in clients):
        for client in clients:
            # All of its requests may have been cancelled.
            while left and not client.expected:
                left -= client.send(draw, left)
        for key, _ in selector.select(timeout=60):
            key.data.receive(counts)
    for client in clients:
        client.connection.close()
    counts["cancelled"] = count - counts.total()
    return counts


def growth(before: dict[str, float], after: dict[str, float], name: str) -> str:
    return f"{name} {(after[name] / before[name] - 1) * 100:+.1f} %"


def soak(server: Server, requests: int) -> bool:
    """Sends the requests, tells the memory at each tenth, and whether all went as it should."""
    print("| requests | " + " | ".join(MEMORY) + " | requests/s |")
    print("|---:" * (len(MEMORY) + 2) + "|")
    counts, memory = Counter[str](), []
    with multiprocessing.Pool(PROCESSES) as pool:
        for tenth in range(10):
            begun = time.monotonic()
            count = requests // 10 // PROCESSES
            jobs = [(server.port, count, tenth * PROCESSES + i) for i in range(PROCESSES)]
            for part in pool.map(portion, jobs):
                counts.update(part)
            rate = count * PROCESSES / (time.monotonic() - begun)
            # Cancelled requests may still be running.
            time.sleep(1)
            memory.append(server.memory())
            figures = " | ".join(f"{memory[-1][name]:.1f}" for name in MEMORY)
            print(f"| {counts.total()} | {figures} | {rate:.0f} |", flush=True)
    grown = ", ".join(growth(memory[0], memory[-1], name) for name in MEMORY[:2])
    print(f"\nfrom the first tenth to the end: {grown}")
    print(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))
    return set(counts) <= {"answered", "refused", "cancelled"}

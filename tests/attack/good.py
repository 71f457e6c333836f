"""The good client: a photo, a sentence, a row, ten requests a second in all, from an address of its own.

Usage: good.py HOST PORT [HEADER: VALUE]…    until its standard input ends

Half of the requests have a connection of their own, the other half keep one. A request is due at its time,
whatever became of those before it, and counts from then on. Prints a JSON list of [seconds since the epoch
when it was due, milliseconds, status, what a refusal says]; the status is 0 where no whole answer came, and 1
where it is not the question's.
"""

import json
import queue
import sys
import threading
import time

from attack import image
from http1 import Closed, Connection, post

SOURCE = "127.0.0.2"
PER_SECOND = 10
# A client gives up; counted as no answer.
PATIENCE = 10
CLIENTS = 48


def questions(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """Requests, and what their answers contain."""
    named = {name.replace("-", "_"): value for name, value in headers.items()}
    row = b'{"features": [[5.1, 3.5, 1.4, 0.2]]}'
    sentence = b'{"text": "The battery lasts for days, I love it!"}'
    return [
        (post("/predict", image("jpeg-640x480.jpg"), "image/jpeg", **named), b'"efficientnet-lite0"'),
        (post("/predict", sentence, **named), b'"label":"positive"'),
        (post("/predict/iris", row, **named), b'"label":"setosa"'),
    ]


class Client(threading.Thread):
    def __init__(self, address: tuple[str, int], work: queue.Queue, done: list):
        super().__init__(daemon=True)
        self.address, self.work, self.done = address, work, done
        self.kept: Connection | None = None

    def run(self) -> None:
        while (one := self.work.get()) is not None:
            due, fresh, request, wanted = one
            self.said = ""
            status = self.ask(request, wanted, fresh)
            # When the kernel had the answer's last byte; without one, now.
            took = max(0.0, (self.received if status > 1 else time.time()) - due)
            self.done.append((due, took * 1e3, status if took <= PATIENCE else 0, self.said))

    def ask(self, request: bytes, wanted: bytes, fresh: bool) -> int:
        connection = None if fresh else self.kept
        again = connection is not None
        if not fresh:
            self.kept = None
        try:
            connection = connection or Connection(self.address, SOURCE, PATIENCE)
            connection.send(request)
            answer = connection.answer()
        except (Closed, OSError, ValueError):
            if connection:
                connection.close()
            # The server may close what was kept at any time; a client asks again.
            return self.ask(request, wanted, fresh) if again else 0
        self.received = connection.received
        if fresh or answer.headers.get("connection") == "close":
            connection.close()
        else:
            self.kept = connection
        if answer.status >= 400:
            self.said = json.loads(answer.body).get("detail", "")[:80]
        if answer.status == 200 and wanted not in answer.body:
            return 1
        return answer.status


def main() -> None:
    address = (sys.argv[1], int(sys.argv[2]))
    headers = dict(text.split(": ", 1) for text in sys.argv[3:])
    asked = questions(headers)
    work: queue.Queue = queue.Queue()
    done: list[tuple[float, float, int, str]] = []
    clients = [Client(address, work, done) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    stopped = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()
    start, number = time.time(), 0
    while not stopped.is_set():
        due = start + number / PER_SECOND
        if not stopped.wait(max(0.0, due - time.time())):
            request, wanted = asked[number % len(asked)]
            # Both halves have all three kinds.
            work.put((due, number // len(asked) % 2 == 0, request, wanted))
            number += 1
    for _ in clients:
        work.put(None)
    for client in clients:
        client.join(2 * PATIENCE + 1)
    # Who has not ended by now has no answer.
    done += [(start, PATIENCE * 1e3, 0, "")] * (number - len(done))
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    main()

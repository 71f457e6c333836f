"""Asks a loopback URL from four threads, two minutes at most.

Prints "going" after the first answers, then goes on until standard input closes and for some answers
more. Prints each outcome (a status, or an exception's name) with its count, and exits 1 if any was
not 200. Half of the requests reuse their connection, as a client's pool does.
"""

import collections
import http.client
import sys
import threading
import urllib.parse

BODY = b'{"text": "It works."}'
LONGEST = 120.0
# Answers before "going", and after the end of the input.
FIRST, LAST = 100, 300


class Load:
    """What the threads share."""

    def __init__(self, url: urllib.parse.SplitResult):
        self.url = url
        self.stop = threading.Event()
        self.seen: collections.Counter[str] = collections.Counter()
        self.changed = threading.Condition()

    def count(self, outcome: str) -> None:
        with self.changed:
            self.seen[outcome] += 1
            self.changed.notify_all()

    def wait_for(self, more: int) -> None:
        """Until there are so many outcomes more, or the time is over."""
        with self.changed:
            goal = self.seen.total() + more
            self.changed.wait_for(lambda: self.seen.total() >= goal or self.stop.is_set(), LONGEST)

    def ask(self, reuse: bool) -> None:
        """One thread's requests, one after the other."""
        connection = None
        while not self.stop.is_set():
            fresh = connection is None
            try:
                connection = connection or http.client.HTTPConnection(
                    self.url.hostname, self.url.port, timeout=60
                )
                headers = {"content-type": "application/json"}
                connection.request("POST", self.url.path, BODY, headers)
                answer = connection.getresponse()
                answer.read()
                self.count(str(answer.status))
                if answer.will_close or not reuse:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                if connection is not None:
                    connection.close()
                connection = None
                # An idle connection may be closed just as it is used again; a pool takes a new one.
                if fresh:
                    self.count(type(error).__name__)


def main() -> int:
    url = urllib.parse.urlsplit(sys.argv[1])
    if url.hostname not in ("127.0.0.1", "localhost"):
        sys.exit("only loopback is asked")
    load = Load(url)
    threads = [threading.Thread(target=load.ask, args=(n % 2 == 0,)) for n in range(4)]
    timer = threading.Timer(LONGEST, load.stop.set)
    timer.daemon = True
    for thread in [*threads, timer]:
        thread.start()
    load.wait_for(FIRST)
    print("going", flush=True)
    sys.stdin.read()
    load.wait_for(LAST)
    load.stop.set()
    for thread in threads:
        thread.join()
    print(" ".join(f"{outcome}: {count}" for outcome, count in sorted(load.seen.items())))
    return 0 if set(load.seen) == {"200"} else 1


if __name__ == "__main__":
    sys.exit(main())

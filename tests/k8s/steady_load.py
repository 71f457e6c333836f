"""Asks a loopback URL from four threads until standard input closes, two minutes at most.

Prints each outcome (a status, or an exception's name) with its count, and exits 1 if any was not 200.
Half of the requests reuse their connection, as a client's pool does.
"""

import collections
import http.client
import sys
import threading
import urllib.parse

BODY = b'{"text": "It works."}'
LONGEST = 120.0


def ask(url: urllib.parse.SplitResult, reuse: bool, stop: threading.Event, seen: collections.Counter):
    """One thread's requests, one after the other."""
    connection = None
    while not stop.is_set():
        fresh = connection is None
        try:
            connection = connection or http.client.HTTPConnection(url.hostname, url.port, timeout=60)
            headers = {"content-type": "application/json"} | ({} if reuse else {"connection": "close"})
            connection.request("POST", url.path, BODY, headers)
            answer = connection.getresponse()
            answer.read()
            seen[str(answer.status)] += 1
            if answer.will_close:
                connection.close()
                connection = None
        except (OSError, http.client.HTTPException) as error:
            if connection is not None:
                connection.close()
            connection = None
            # An idle connection may be closed just as it is used again; a pool then takes a new one.
            if fresh:
                seen[type(error).__name__] += 1


def main() -> int:
    url = urllib.parse.urlsplit(sys.argv[1])
    if url.hostname not in ("127.0.0.1", "localhost"):
        sys.exit("only loopback is asked")
    stop, seen = threading.Event(), collections.Counter()
    threads = [threading.Thread(target=ask, args=(url, n % 2 == 0, stop, seen)) for n in range(4)]
    for thread in threads:
        thread.start()
    timer = threading.Timer(LONGEST, stop.set)
    timer.start()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    for thread in threads:
        thread.join()
    timer.cancel()
    print(" ".join(f"{outcome}: {count}" for outcome, count in sorted(seen.items())))
    return 0 if set(seen) == {"200"} else 1


if __name__ == "__main__":
    sys.exit(main())

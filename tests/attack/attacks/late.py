"""Work that nobody waits for any more."""

import time

from attack import Attack, Context, Figure
from attacks.names import columns
from http1 import post

# Of processor in a second and a half after all have left; the good client and the probes are in it.
IDLE_SECONDS, BUSY_SECONDS = 1.5, 0.6
# Until those leave whose work takes seconds.
STAYS_SECONDS = 0.3


def run(context: Context) -> list[Figure]:
    """Bodies that take long, with a deadline of 100 ms, and texts whose callers leave; then how busy the server is."""
    body = b'{"features": %b}' % columns(180_000)
    requests = [
        post("/predict/iris", body, x_request_timeout_ms="100"),
        post("/predict/iris", b'{"features": [%b]}' % b",".join([b"{}"] * 1_000_000), x_request_timeout_ms="100"),
        post("/v1/models/iris:predict", b'{"instances": [%b]}' % columns(180_000), x_request_timeout_ms="100"),
    ]
    texts = b'{"text": [%b]}' % b",".join(b'"%b %d"' % (b"one two three four " * 25, n) for n in range(256))
    busiest, slowest = 0.0, 0.0
    context.begin()
    while context.goes_on():
        connections = [context.connect() for _ in range(6)]
        for number, connection in enumerate(connections):
            connection.send(requests[number % len(requests)])
        for connection in connections:
            try:
                slowest = max(slowest, connection.answer().seconds)
            except OSError:
                pass
            connection.close()
        leavers = [context.connect() for _ in range(3)]
        for connection in leavers:
            connection.send(post("/predict/sentiment-minilm", texts))
        time.sleep(STAYS_SECONDS)
        for connection in leavers:
            connection.close()
        # What was under way may see that it is not wanted.
        time.sleep(0.3)
        before = context.cpu_seconds()
        time.sleep(IDLE_SECONDS)
        busiest = max(busiest, context.cpu_seconds() - before)
    return [
        Figure("processor after they left", busiest, BUSY_SECONDS, f"s of {IDLE_SECONDS} s"),
        Figure("slowest 504", slowest, 2, "s"),
    ]


ATTACKS = [
    Attack("late_work", 1, "slow bodies with a deadline of 100 ms, and callers that leave: who works on then?", run, 10),
]

"""Many attackers at once, in threads of one process: they wait for the server most of the time."""

import threading
from collections.abc import Callable

from attack import Context
from http1 import Closed


def crowd(context: Context, count: int, work: Callable[[int], object]) -> list:
    """Calls `work` with each attacker's number again and again until the time is over; what it returned.

    A connection that the server refuses or ends is part of being refused, and nothing is returned for it.
    """
    found: list = []

    def attacker(number: int) -> None:
        while context.goes_on():
            try:
                found.append(work(number))
            except (Closed, OSError, ValueError, IndexError):
                context.sleep(0.02)

    threads = [threading.Thread(target=attacker, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(context.left + 60)
    return found

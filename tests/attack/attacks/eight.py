"""Eight attacks at once: those that take most memory."""

import contextlib
import multiprocessing

from attack import Attack, Context, Figure
from attacks import bombs, lists, names, silent, unread

# Of all of them, by the same process; the bound of a container of 2 GB is on the whole.
TOGETHER = {
    "tiny_together": bombs.together,
    "grpc_empties": bombs.empty_messages,
    "silent_uploads": silent.uploads,
    "http2_unread": unread.no_windows,
    "http1_unread": unread.http1,
    "large_unread": unread.large,
    "image_lists": lists.run,
    "long_names": lambda context: names.send(context, names.long(), 2, 60),
}


def run(context: Context) -> list[Figure]:
    processes = [multiprocessing.Process(target=one, args=(context, name), daemon=True) for name in TOGETHER]
    for process in processes:
        process.start()
    for process in processes:
        process.join(context.left + 40)
        process.kill()
    return []


def one(context: Context, name: str) -> None:
    """Breaks off where the server ends, which is told of the server."""
    with contextlib.suppress(OSError, ValueError, IndexError, ProcessLookupError):
        TOGETHER[name](context)


ATTACKS = [
    Attack("eight_at_once", 2, f"at once: {', '.join(TOGETHER)}", run, 20),
]

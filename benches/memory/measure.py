"""Compares the memory and the start of server binaries, by turns, each in a process of its own.

    measure.py --models FOLDER --model NAME [--instances N] [--requests N] NAME=BINARY ...
    measure.py --models models --soak 1000000 NAME=BINARY ...

The first form serves one model of text (make_models.py writes some). Every binary is started once
with no graph kept, cold, and then --rounds times with those that its first start has kept, warm.
Each time it is asked the same requests: 1 to 8 texts of 3 to 400 words, short ones more often than
long ones. The second form serves the bundled models, and tells whether memory grows over very many
requests.

Linux, Python 3.11 or newer, no packages. Memory is in MiB, as /proc tells it.
"""

import argparse
import itertools
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

# No __pycache__ in the checkout.
sys.dont_write_bytecode = True

from server import ROOT, Connection, Server, request
from soak import soak

# So that nothing is refused because the machine is slow: what is refused holds no memory.
PATIENT = {
    "RUNTIME__QUEUE_OBJECTIVE": "5m",
    "SERVER__REQUEST_TIMEOUT": "10m",
    "SERVER__GRACE_PERIOD": "11m",
    "SERVER__STUCK_TIMEOUT": "20m",
}
# A figure's values by binary: figures[when][figure][binary].
Figures = dict[str, dict[str, dict[str, list[float]]]]


def bodies(count: int, most_items: int, most_words: int) -> list[bytes]:
    """The bodies of the requests, the same at every call."""
    draw = random.Random(18)
    words = (ROOT / "models/eval/sentiment.tsv").read_text().split()

    def some(most: int, least: int) -> int:
        # Twice as long, half as often.
        return int(least * ((most + 1) / least) ** draw.random())

    def text() -> str:
        length = some(most_words, 3)
        begin = draw.randrange(len(words) - length)
        return " ".join(words[begin : begin + length])

    return [
        json.dumps({"text": [text() for _ in range(some(most_items, 1))]}).encode()
        for _ in range(count)
    ]


def load(port: int, requests: list[bytes], clients: int) -> tuple[float, float, int]:
    """Asks them all: milliseconds of the median, requests a second, those not answered 200."""
    numbers = itertools.count()
    times, refused = [], []

    def client() -> None:
        connection = Connection(port)
        while (number := next(numbers)) < len(requests):
            begun = time.monotonic()
            status = connection.ask(requests[number])
            times.append((time.monotonic() - begun) * 1e3)
            if status != 200:
                refused.append(status)
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    lost = len(requests) - len(times)
    return statistics.median(times), len(times) / seconds, len(refused) + lost


def run(server: Server, requests: list[bytes], clients: int) -> Iterator[tuple[str, float]]:
    """One start and its load: names and values of what is measured."""
    yield "start, s", server.wait()
    for name, value in server.memory().items():
        yield f"{name} at ready", value
    median, rate, refused = load(server.port, requests, clients)
    time.sleep(0.5)
    for name, value in server.memory().items():
        yield f"{name} after the requests", value
    yield "p50, ms", median
    yield "requests/s", rate
    yield "not answered 200", refused


def spread(values: list[float]) -> str:
    three = (statistics.median(values), min(values), max(values))
    # Counts are whole, seconds small.
    digits = 0 if isinstance(values[0], int) else 3 if three[0] < 10 else 1
    median, least, most = (f"{value:.{digits}f}" for value in three)
    return f"{median} ({least} to {most})" if len(values) > 1 else median


def table(when: str, figures: dict[str, dict[str, list[float]]], names: list[str]) -> str:
    starts = len(next(iter(figures.values()))[names[0]])
    rows = [[f"{when}, {starts} of each", *names], ["---"] * (len(names) + 1)]
    for figure, values in figures.items():
        rows.append([figure, *(spread(values[name]) for name in names)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def read_all(folder: Path, *files: str) -> None:
    """Has the files in the system's cache, so that no start waits for the disk."""
    for path in [*folder.rglob("*"), *map(Path, files)]:
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 24):
                    pass


def compare(options: argparse.Namespace, binaries: dict[str, str], scratch: Path) -> bool:
    model = (options.models / options.model).resolve(strict=True)
    alone = scratch / "models"
    alone.mkdir()
    (alone / options.model).symlink_to(model)
    read_all(model, *binaries.values())
    path = f"/predict/{options.model}"
    made = bodies(options.requests, options.items, options.words)
    requests = [request(path, "application/json", body) for body in made]
    figures: Figures = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for number in range(options.rounds + 1):
        if number == 0 and options.no_graph_cache:
            continue
        when = "no graphs kept" if options.no_graph_cache else "warm" if number else "cold"
        # The order is reversed in every other round.
        for name in list(binaries)[:: -1 if number % 2 else 1]:
            keys = PATIENT | options.keys | {"RUNTIME__INSTANCES": str(options.instances)}
            keys["RUNTIME__GRAPH_CACHE"] = "" if options.no_graph_cache else str(scratch / name)
            with Server(binaries[name], alone, keys, scratch / "log") as server:
                for figure, value in run(server, requests, options.clients):
                    figures[when][figure][name].append(value)
            print(f"{name}, {when}: done", file=sys.stderr)
    for when, values in figures.items():
        print(table(when, values, list(binaries)))
    return not any(
        any(counts) for values in figures.values() for counts in values["not answered 200"].values()
    )


def long_run(options: argparse.Namespace, binaries: dict[str, str], scratch: Path) -> bool:
    well = True
    for name, binary in binaries.items():
        print(f"{name}:\n")
        keys = options.keys | {"RUNTIME__INSTANCES": str(options.instances)}
        keys |= {"RUNTIME__GRAPH_CACHE": str(scratch / name)}
        with Server(binary, options.models, keys, scratch / "log") as server:
            server.wait()
            well &= soak(server, options.soak)
    return well


def pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text}")
    return name, value


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, required=True, help="folder of model folders")
    parser.add_argument("--model", help="the one that is served and asked")
    parser.add_argument("--instances", type=int, default=0, help="runtime.instances")
    parser.add_argument("--requests", type=int, default=2000, help="after each start")
    parser.add_argument("--rounds", type=int, default=3, help="warm starts of each binary")
    parser.add_argument("--clients", type=int, default=16, help="connections that ask at once")
    parser.add_argument("--items", type=int, default=8, help="most texts in a request")
    parser.add_argument("--words", type=int, default=400, help="most words in a text")
    parser.add_argument("--no-graph-cache", action="store_true", help="runtime.graph_cache empty")
    parser.add_argument("--soak", type=int, help="so many requests to the bundled models")
    parser.add_argument(
        "--key", dest="keys", type=pair, action="append", default=[], metavar="SECTION__KEY=VALUE",
        help="of the configuration, as after ONNXD_ in the environment",
    )
    parser.add_argument("binaries", nargs="+", type=pair, metavar="NAME=BINARY")
    options = parser.parse_args()
    if (options.model is None) == (options.soak is None):
        parser.error("either --model or --soak")
    options.keys = dict(options.keys)
    binaries = {name: str(Path(binary).resolve(strict=True)) for name, binary in options.binaries}
    with tempfile.TemporaryDirectory() as folder:
        kind = compare if options.soak is None else long_run
        sys.exit(not kind(options, binaries, Path(folder)))


if __name__ == "__main__":
    main()

"""What an attack is, and what it has at hand while it runs."""

import functools
import os
import random
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import http1
from http1 import Address, Answer, Connection
from http2 import Http2

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "tests/fixtures/images"
# Addresses of attackers. The good client has another, so that the server can be fair between them.
ATTACKER = "127.0.0.1"
OTHERS = tuple(f"127.0.1.{n}" for n in range(1, 9))
MB = 1_000_000
# Server.max_body_size, and a little less.
LARGEST = 33_554_432
LARGE = 33_000_000


@dataclass
class Figure:
    """What an attack measured of its own, and the bound that it must keep: `value <= bound`."""

    what: str
    value: float
    bound: float
    unit: str = ""
    # Which of several inputs it was, or whatever else explains it.
    told: str = ""

    @property
    def kept(self) -> bool:
        return self.value <= self.bound


# A figure that is only told.
NO_BOUND = 1e12


@dataclass(frozen=True)
class Own:
    """A server of the attack's own, since it is changed or ended."""

    # Keys of the configuration, beside those of every server.
    settings: dict[str, str] = field(default_factory=dict)
    # Makes the folder that the server starts with, and says which further keys it needs.
    prepare: Callable[[Path], dict[str, str]] | None = None
    # What the good client sends with each request.
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Attack:
    name: str
    # Of the rules in docs/security.md.
    rule: int
    # One sentence for the table.
    does: str
    run: Callable[["Context"], list[Figure]]
    seconds: float = 10
    # Within the part for CI, and for how long.
    short: float | None = None
    # Most megabytes that the server's memory may grow by meanwhile. By default what leaves it within 2 GB.
    growth_mb: float = 1_500
    own: Own | None = None
    # The server is meant to end, so that nobody else is served.
    ends: bool = False
    # The good client and /health/live are not held to a bound, only measured: nobody attacks.
    quiet: bool = False


@dataclass
class Context:
    """The server that is attacked, from the attacker's process."""

    address: Address
    admin: Address
    pid: int
    seconds: float
    # Of the server's own files, if it has some; else an empty one.
    folder: Path
    binary: str
    log: Path

    def __post_init__(self) -> None:
        self.begin()
        self.random = random.Random(17)

    def begin(self) -> None:
        """The time of the attack begins now: what came before was preparation."""
        self.end = time.monotonic() + self.seconds

    def goes_on(self) -> bool:
        return time.monotonic() < self.end

    @property
    def left(self) -> float:
        return max(0.0, self.end - time.monotonic())

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, min(seconds, self.left)))

    def connect(self, source: str = ATTACKER, timeout: float = 30, receive_buffer: int = 0) -> Connection:
        return Connection(self.address, source, timeout, receive_buffer)

    def http2(self, source: str = ATTACKER, timeout: float = 30, **settings: int) -> Http2:
        return Http2(self.address, source, timeout, **settings)

    def ask(self, request: bytes, source: str = ATTACKER, timeout: float = 60) -> Answer:
        return http1.ask(self.address, request, source, timeout)

    # -- the server's process

    def memory_mb(self, what: str = "VmRSS") -> float:
        return process_memory_mb(self.pid, what)

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def descriptors_but_of(self, client: str) -> int:
        """Without the connections of the client with this address, which may keep as many as it likes."""
        return self.descriptors() - connections_from(client, self.address, self.pid)

    def cpu_seconds(self) -> float:
        return process_cpu_seconds(self.pid)

    def sum_of(self, metric: str) -> float:
        return sum(value for series, value in metrics(self.admin).items() if series.split("{")[0] == metric)


def metrics(admin: Address) -> dict[str, float]:
    """Series of the admin port by name and labels, as they are written."""
    body = http1.ask_all(admin, http1.head("GET", "/metrics"))
    lines = (line.rsplit(" ", 1) for line in body.decode().splitlines() if line and line[0] != "#")
    return {series: float(value) for series, value in lines}


def connections_from(client: str, server: Address, pid: int) -> int:
    """Connections from an address to the server that are open or that only the client has closed."""
    # As the system's table has them: the address as a little-endian number.
    remote = socket.inet_aton(client)[::-1].hex().upper() + ":"
    local = f":{server[1]:04X}"
    rows = (line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines())
    # A socket that no process holds has the inode 0.
    return sum(row[1].endswith(local) and row[2].startswith(remote) and row[9] != "0" for row in rows)


def process_memory_mb(pid: int, what: str) -> float:
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith(what + ":"):
                return int(line.split()[1]) * 1024 / MB
    raise ProcessLookupError(pid)


def process_cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@functools.cache
def image(name: str) -> bytes:
    return (IMAGES / name).read_bytes()


def percentile(values: list[float], percent: float) -> float:
    """The lower of the two neighbours, so that of fewer than a hundred values one may be an outlier."""
    ordered = sorted(values)
    return ordered[int((len(ordered) - 1) * percent / 100)] if ordered else 0.0
